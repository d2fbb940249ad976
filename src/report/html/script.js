"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const stage = byId("stage");
  if (stage) {
    const split = byId("split");
    const level = byId("zoom-level");
    const [width, height] = [Number(stage.dataset.width), Number(stage.dataset.height)];
    // Whole factors from 1 on, so that a pixel of the picture is a square of the screen's.
    const factors = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16];
    let zoom = null; // null fits the page

    const fitting = () => {
      const room = byId("stage").parentElement.clientWidth - 34;
      return Math.min(room / width, (window.innerHeight * 0.78) / height, Math.max(1, 512 / width));
    };
    const draw = () => {
      const shown = zoom ?? fitting();
      stage.classList.toggle("fit", zoom === null);
      stage.style.setProperty("--zoom", String(shown));
      level.textContent = zoom === null ? "fit" : `${Math.round(zoom * 100)} %`;
      byId("zoom-out").disabled = shown <= factors[0];
      byId("zoom-in").disabled = shown >= factors[factors.length - 1];
    };
    const setZoom = (to) => {
      const centre = [
        (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth,
        (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight,
      ];
      zoom = to;
      draw();
      stage.scrollLeft = centre[0] * stage.scrollWidth - stage.clientWidth / 2;
      stage.scrollTop = centre[1] * stage.scrollHeight - stage.clientHeight / 2;
    };
    const zoomIn = () => setZoom(factors.find((f) => f > (zoom ?? fitting()) + 1e-6) ?? zoom);
    const zoomOut = () => setZoom(factors.findLast((f) => f < (zoom ?? fitting()) - 1e-6) ?? zoom);
    const setSplit = (share) => {
      const percent = Math.min(100, Math.max(0, share));
      split.value = String(Math.round(percent));
      split.setAttribute("aria-valuetext", `${split.value} % input`);
      stage.style.setProperty("--split", `${percent}%`);
    };
    const setView = (view) => {
      stage.dataset.view = view;
      document.querySelector(".split-control").hidden = view !== "slider";
      draw();
    };

    split.addEventListener("input", () => setSplit(Number(split.value)));
    for (const choice of document.querySelectorAll('input[name="view"]')) {
      choice.addEventListener("change", () => setView(choice.value));
    }
    byId("zoom-in").addEventListener("click", zoomIn);
    byId("zoom-out").addEventListener("click", zoomOut);
    byId("zoom-fit").addEventListener("click", () => setZoom(null));
    stage.addEventListener("keydown", (event) => {
      const slides = stage.dataset.view === "slider" && zoom === null;
      const actions = {
        "+": zoomIn, "=": zoomIn, "-": zoomOut, 0: () => setZoom(null),
        ArrowLeft: slides && (() => setSplit(Number(split.value) - 2)),
        ArrowRight: slides && (() => setSplit(Number(split.value) + 2)),
        Home: slides && (() => setSplit(0)),
        End: slides && (() => setSplit(100)),
      };
      const action = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
      if (action) {
        event.preventDefault();
        action();
      }
    });
    const follow = (event) => {
      const picture = stage.querySelector(".before img").getBoundingClientRect();
      setSplit(((event.clientX - picture.left) / picture.width) * 100);
    };
    stage.addEventListener("pointerdown", (event) => {
      // Zoomed in, a finger on the picture scrolls it, and the handle alone moves the split.
      const grabs = zoom === null || event.target.id === "handle";
      if (stage.dataset.view !== "slider" || !grabs || event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      stage.addEventListener("pointermove", follow);
      follow(event);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, () => stage.removeEventListener("pointermove", follow));
    }
    window.addEventListener("resize", draw);
    // Without this script the pictures stand side by side, and nothing is lost.
    setView("slider");
    setSplit(50);
  }

  const layer = byId("layer");
  if (layer) {
    const plot = document.querySelector(".plot");
    const cursor = byId("cursor");
    const rows = [...document.querySelectorAll("#layer-table tbody tr")];
    const show = (index) => {
      const [module, kind, shape, largest, std, nonFinite] =
        [...rows[index].cells].map((cell) => cell.textContent);
      const broken = nonFinite === "0" ? "" : `, ${nonFinite} not finite`;
      const text = `${module} (${kind}, ${shape}): largest ${largest}, std ${std}${broken}`;
      layer.value = String(index);
      layer.setAttribute("aria-valuetext", text);
      byId("layer-text").textContent = text;
      cursor.hidden = false;
      cursor.style.left = `calc(${((index + 0.5) / rows.length) * 100}% - 1px)`;
    };
    layer.addEventListener("input", () => show(Number(layer.value)));
    const point = (event) => {
      const box = plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      show(Math.min(rows.length - 1, Math.max(0, Math.floor(share * rows.length))));
    };
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
  }
})();
