// Plotly travels compressed and is unpacked by the browser itself; nothing is fetched. Its buttons are listed one by one:
// the set that it shows by default may hold one that uploads the figure to a service.
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const narrow = matchMedia("(max-width: 760px)");

async function unpackPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function fitted(layout) {
  if (!narrow.matches) return layout;
  const margin = { ...layout.margin, l: 48, r: 6 };
  return { ...layout, margin, dragmode: false, font: { ...layout.font, size: 11 } };
}

async function draw() {
  for (const { id, data, layout } of figures) {
    const config = {
      responsive: true, displaylogo: false, displayModeBar: narrow.matches ? false : "hover",
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: id },
    };
    await Plotly.react(document.getElementById(id), data, fitted(layout), config);
  }
  document.body.dataset.drawn = figures.length;
}

async function main() {
  try {
    await unpackPlotly();
    await draw();
    narrow.addEventListener("change", draw);
  } catch (error) {
    document.body.classList.add("without-figures");
    throw error;
  }
}
main();
