"use strict";
// Draws each chart of the report's data with uPlot, in the colours of the page's light or dark scheme.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const colours = ["#3b82f6", "#e6890a", "#16a34a", "#a855f7", "#dc2626"];
  const number = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
  const digits = new Intl.NumberFormat("en", {maximumSignificantDigits: 3, useGrouping: false});
  const time = ms => ms >= 1000 ? digits.format(ms / 1000) + " s" : digits.format(ms) + " ms";
  const write = chart => chart.unit === "ms" ? time : v => number.format(v);
  const powersOfTen = (u, axis, low, high) => {
    const powers = [];
    for (let p = Math.ceil(Math.log10(low)); p <= Math.log10(high); p++) powers.push(10 ** p);
    return powers;
  };
  let plots = [];

  function draw(chart, box) {
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue("--pale"), line = css.getPropertyValue("--line");
    const text = write(chart), font = "12px system-ui, sans-serif";
    const axis = {stroke: ink, font: font, grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}};
    // A logarithmic axis has no place for zero.
    const values = s => chart.log ? s.values.map(v => v > 0 ? v : null) : s.values;
    const hover = v => v == null ? "–" : text(v);
    return new uPlot({
      width: box.clientWidth,
      height: chart.wide ? 280 : 240,
      scales: {
        x: {time: false},
        y: {distr: chart.log ? 3 : 1, range: chart.log ? undefined : (u, low, high) => [0, high > 0 ? high * 1.08 : 1]},
      },
      axes: [
        {...axis, space: 60, values: (u, marks) => marks.map(v => v + " s")},
        {...axis, size: 64, ...(chart.log ? {splits: powersOfTen, space: 16} : {}), values: (u, marks) => marks.map(v => v == null ? "" : text(v))},
      ],
      cursor: {drag: {x: true, y: false}, sync: {key: "sale"}},
      series: [
        {label: "time", value: (u, v) => v == null ? "–" : v.toFixed(1) + " s"},
        ...chart.series.map((s, i) => ({
          label: s.name, stroke: colours[i], width: 2, spanGaps: true, points: {show: false},
          fill: chart.fill ? colours[i] + "22" : undefined, value: (u, v) => hover(v),
        })),
      ],
    }, [chart.x, ...chart.series.map(values)], box);
  }

  function drawAll() {
    plots.forEach(plot => plot.destroy());
    plots = charts.map((chart, i) => draw(chart, document.getElementById("chart" + i)));
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("resize", () => plots.forEach(plot => {
    plot.setSize({width: plot.root.parentNode.clientWidth, height: plot.height});
  }));
})();
