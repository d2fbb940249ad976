// Uses the pages passes.html and fails.html of a folder as people use them, and finds planted faults.
// Called by check_report.sh: node check_report.mjs FOLDER CHROMIUM [FOLDER for screenshots]
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.cwd(), ".browser", "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [folder, executablePath, shots] = process.argv.slice(2);
if (shots) mkdirSync(shots, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), "vae-fidelity-chromium-"));
const LIGHT = { colorScheme: "light", viewport: { width: 1280, height: 900 } };
const DARK = { colorScheme: "dark", viewport: { width: 1280, height: 900 } };
const PHONE = { colorScheme: "light", viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
  env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
});

/** Opens `file` in a window of its own, and notes what it asks of the network and what it complains of. */
async function open(file, settings, problems) {
  const context = await browser.newContext({ ...settings, offline: true });
  const page = await context.newPage();
  const own = pathToFileURL(file).href;
  page.on("request", (request) => {
    if (request.url() !== own && !request.url().startsWith("data:")) {
      problems.push(`asks the network for ${request.url()}`);
    }
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`script error: ${error.message}`));
  await page.goto(own);
  return page;
}

const ALL = ["desk", "tabs", "dark", "phone", "plain"];

/** What is wrong with the page `file`, in plain words, as far as `parts` look; `name` names its
 * screenshots. */
async function examine(file, parts, name) {
  const problems = [];
  const expect = (holds, what) => holds || problems.push(what);
  const near = (found, wanted, what) =>
    expect(Math.abs(found - wanted) <= 2, `${what}: expected about ${wanted}, found ${found}`);
  const shoot = async (page, kind) => {
    if (shots && name) await page.screenshot({ path: join(shots, `${name}-${kind}.png`), fullPage: true });
  };
  const accessible = async (page, kind) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    for (const { id, nodes } of violations) problems.push(`axe, ${kind}: ${id} at ${nodes[0].target}`);
  };

  const looks = {
    desk: () => desk(file, { problems, expect, near, shoot }),
    tabs: () => tabs(file, { problems, expect, shoot, accessible }),
    dark: () => dark(file, { problems, expect, shoot, accessible }),
    phone: () => phone(file, { problems, expect, near, shoot, accessible }),
    plain: () => plain(file, { problems, expect }),
  };
  for (const part of parts) {
    const started = Date.now();
    await looks[part]();
    if (process.env.TIMES) console.error(`${file} ${part}: ${Date.now() - started} ms`);
  }
  return problems;
}

const ground = async (page) => {
  const colour = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  return colour.match(/\d+/g).slice(0, 3).reduce((sum, level) => sum + Number(level), 0);
};

/** With a mouse and a keyboard, in light colours. */
async function desk(file, { problems, expect, near, shoot }) {
  const page = await open(file, LIGHT, problems);
  const split = page.locator("#split");
  const value = async () => Number(await split.inputValue());
  const clipped = () =>
    page.$eval(".after", (after) => Number(/([\d.]+)%\)/.exec(getComputedStyle(after).clipPath)?.[1]));
  const box = () => page.locator(".before img").boundingBox();
  const width = async () => (await box()).width;

  const broken = await page.$$eval("img", (all) =>
    all.filter((img) => !img.complete || img.naturalWidth === 0 || !img.alt).length);
  expect(broken === 0, `${broken} pictures are not shown or have no text`);
  const run = JSON.parse(await page.$eval("#report", (script) => script.textContent));
  expect(run.schema_version === 1, "the run inside has no schema_version");
  expect((await page.locator(".badge").textContent()) === run.verdict, "the badge is not the verdict");

  // The slider: dragged on the picture, moved by its handle, and by keys.
  await page.locator("#stage").scrollIntoViewIfNeeded();
  let at = await box();
  const x = (share) => at.x + at.width * share;
  const y = at.y + at.height / 2;
  await page.mouse.move(x(0.25), y);
  await page.mouse.down();
  near(await value(), 25, "slider after a press");
  await page.mouse.move(x(0.5), y, { steps: 3 });
  await page.mouse.move(x(0.75), y, { steps: 3 });
  await page.mouse.up();
  near(await value(), 75, "slider after dragging");
  near(await clipped(), 75, "the output's edge after dragging");
  await page.mouse.move(x(0.1), y);
  near(await value(), 75, "slider after letting go");
  await split.focus();
  for (const key of ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight"]) {
    await page.keyboard.press(key);
  }
  near(await value(), 80, "slider after five keys");
  near(await clipped(), 80, "the output's edge after five keys");
  expect((await split.getAttribute("aria-valuetext"))?.startsWith("8"), "the slider does not say its value");
  await page.locator("#stage").focus();
  await page.keyboard.press("Home");
  near(await clipped(), 0, "the output's edge after Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  near(await clipped(), 4, "the output's edge after two keys on the picture");

  // Zoom by buttons and keys.
  const fits = await width();
  await page.locator("#zoom-in").click();
  await page.locator("#zoom-in").click();
  const zoomed = await width();
  expect(zoomed > fits * 1.2, `zoomed in, the picture is ${zoomed} wide after ${fits}`);
  expect(/%/.test(await page.locator("#zoom-level").textContent()), "the zoom is not said");
  await page.locator("#stage").focus();
  await page.keyboard.press("-");
  expect((await width()) < zoomed, "minus does not zoom out");
  await page.keyboard.press("+");
  near(await width(), zoomed, "width after plus");
  // Zoomed in, only the handle moves the split.
  const before = await value();
  at = await box();
  const stage = await page.locator("#stage").boundingBox();
  await page.mouse.click(stage.x + stage.width * 0.7, stage.y + stage.height / 2);
  near(await value(), before, "slider after a click, zoomed in");
  await page.locator("#zoom-fit").click();
  near(await width(), fits, "width after Fit");

  // Views.
  const visible = (name) => page.locator(`.${name} img`).isVisible();
  await page.getByText("Heat map", { exact: true }).click();
  expect((await visible("heat")) && !(await visible("before")), "the heat map is not shown alone");
  expect(!(await split.isVisible()), "the slider is shown beside the heat map");
  await page.keyboard.press("ArrowLeft");
  expect((await visible("before")) && (await visible("after")), "no side by side by keyboard");
  const pair = [await page.locator(".before img").boundingBox(), await page.locator(".after img").boundingBox()];
  expect(pair[0].x + pair[0].width <= pair[1].x + 1, "side by side, pictures overlap");
  await shoot(page, "side");
  await page.keyboard.press("ArrowLeft");
  expect(await split.isVisible(), "no slider by keyboard");

  // The chart of layers.
  const plot = page.locator(".plot");
  await plot.scrollIntoViewIfNeeded();
  const chart = await plot.boundingBox();
  await page.mouse.move(chart.x + chart.width * 0.5, chart.y + 40);
  const text = () => page.locator("#layer-text").textContent();
  const pointed = await text();
  expect(/(en|de)coder.*largest/.test(pointed), `the chart says: ${pointed}`);
  await page.locator("#layer").focus();
  await page.keyboard.press("ArrowRight");
  expect((await text()) !== pointed, "keys do not move along the chart");
  const line = await page.locator("line.limit").count();
  const name_of_line = await page.locator(".limit-label").textContent().catch(() => "");
  expect(line === 1 && /65504/.test(name_of_line), "the f16 limit is not drawn");
  const bars = await page.locator(".plot rect.bar").count();
  expect(bars > 50 && bars === (await page.locator("#layer-table tbody tr").count()), `${bars} layers`);
  const channels = await page.locator(".channels figure").count();
  expect(channels === run.latents.shape[1], `${channels} channels of ${run.latents.shape[1]}`);

  expect((await ground(page)) > 600, "grounds are not light");
  await page.context().close();
}

/** By Tab alone, and by axe-core's rules. */
async function tabs(file, { problems, expect, shoot, accessible }) {
  const page = await open(file, LIGHT, problems);
  const reached = new Set();
  for (let tab = 0; tab < 45; tab += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.name));
  }
  for (const id of ["view", "zoom-in", "zoom-fit", "stage", "split", "layer"]) {
    expect(reached.has(id), `Tab does not reach ${id}`);
  }
  await page.evaluate(() => {
    document.activeElement.blur();
    window.scrollTo(0, 0);
  });
  await accessible(page, "light");
  await shoot(page, "light");
  await page.context().close();
}

async function dark(file, { problems, expect, shoot, accessible }) {
  const page = await open(file, DARK, problems);
  expect((await ground(page)) < 150, "grounds are not dark");
  await accessible(page, "dark");
  await shoot(page, "dark");
  await page.context().close();
}

async function phone(file, { problems, expect, near, shoot, accessible }) {
  const page = await open(file, PHONE, problems);
  const open_all = (open) => page.evaluate((open) => {
    for (const details of document.querySelectorAll("details")) details.open = open;
    return [document.documentElement.scrollWidth, document.documentElement.clientWidth];
  }, open);
  const [all, seen] = await open_all(true);
  expect(all <= seen, `on a phone the page is ${all} wide and the screen ${seen}`);
  await open_all(false);
  await page.locator("#stage").scrollIntoViewIfNeeded();
  const finger = await page.locator(".before img").boundingBox();
  await page.touchscreen.tap(finger.x + finger.width * 0.3, finger.y + finger.height / 2);
  near(Number(await page.locator("#split").inputValue()), 30, "slider after a tap");
  await page.evaluate(() => window.scrollTo(0, 0));
  await accessible(page, "phone");
  await shoot(page, "phone");
  await page.context().close();
}

/** Without scripts. */
async function plain(file, { problems, expect }) {
  const page = await open(file, { ...LIGHT, javaScriptEnabled: false }, problems);
  for (const kind of ["before", "after", "heat"]) {
    expect(await page.locator(`.${kind} img`).isVisible(), `without scripts, no ${kind}`);
  }
  await page.context().close();
}

/** Faults, each with what replaces what, and a word that a problem found has to have. */
const FAULTS = [
  ["dragging does nothing", 'stage.addEventListener("pointermove", follow);', "", "dragging"],
  ["letting go is not noticed", "stage.removeEventListener", "void", "letting go"],
  ["keys do not move the slider", 'split.addEventListener("input"', 'void ("input"', "five keys"],
  ["the zoom button does nothing", 'byId("zoom-in").addEventListener("click", zoomIn);', "", "zoomed in"],
  ["views do not change", 'choice.addEventListener("change"', 'void ("change"', "heat map"],
  ["the chart does not answer", 'plot.addEventListener("pointermove", point);', "", "chart says"],
  ["no line for f16", /<line class="limit"[^>]*>/, "", "f16"],
  ["a script fails", '"use strict";', '"use strict"; missing();', "script error"],
  ["a picture from elsewhere", /<meta http-equiv.*>([^]*)<header>/, '$1<header><img alt="x" src="https://example.invalid/x.png">', "network"],
  ["a picture without text", /alt="Output[^"]*"/, "", "no text"],
  ["grey on grey", "--faint: #586073", "--faint: #c8ccd4", "color-contrast", "tabs"],
  ["no dark colours", "(prefers-color-scheme: dark)", "(prefers-color-scheme: no)", "grounds", "dark"],
  ["too wide for a phone", ".channels {", ".channels { min-width: 700px;", "on a phone", "phone"],
  ["no way in for keys", 'id="split" min', 'id="split" tabindex="-1" min', "Tab does not", "tabs"],
  ["nothing without scripts", 'class="stage" data-view="side"', 'class="stage" data-view="slider"', "without scripts", "plain"],
  ["a slider without a name", /aria-label="Before and after[^"]*"/, "", "axe", "tabs"],
];

let failed = 0;
const started = Date.now();
try {
  await Promise.all(["passes", "fails"].map(async (name) => {
    const problems = await examine(join(folder, `${name}.html`), ALL, name);
    for (const problem of problems) console.error(`${name}.html: ${problem}`);
    failed += problems.length;
  }));
  const sound = readFileSync(join(folder, "passes.html"), "utf8");
  await Promise.all([0, 1].map(async (lane) => {
    for (const [what, from, to, word, part] of FAULTS.filter((_, index) => index % 2 === lane)) {
      const faulty = sound.replace(from, to);
      const file = join(folder, `fault-${lane}.html`);
      writeFileSync(file, faulty);
      const problems = faulty === sound ? ["the fault was not planted"] : await examine(file, [part ?? "desk"]).catch((error) => [String(error)]);
      if (!problems.some((problem) => problem.includes(word))) {
        failed += 1;
        console.error(`planted: ${what}: not found; found instead: ${problems.join("; ") || "nothing"}`);
      }
    }
  }));
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
const seconds = Math.round((Date.now() - started) / 1000);
console.log(`2 reports used, ${FAULTS.length} faults planted, ${failed} problems, ${seconds} s`);
process.exit(failed === 0 ? 0 : 1);
