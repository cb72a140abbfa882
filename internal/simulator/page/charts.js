"use strict";
// Draws the charts of the report with uPlot, in the colours of the page's light or dark scheme.
(() => {
  const {stock, moments, refusals} = JSON.parse(document.getElementById("data").textContent);
  const colours = ["#3b82f6", "#e6890a", "#16a34a", "#a855f7", "#dc2626"];

  const number = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
  const digits = new Intl.NumberFormat("en", {maximumSignificantDigits: 3, useGrouping: false});
  const duration = ms => ms >= 1000 ? digits.format(ms / 1000) + " s" : digits.format(ms) + " ms";

  const series = (name, rows, value) => ({name, values: rows.map(value)});

  function stockChart(title, rows, wide) {
    return {title, unit: "units", fill: true, wide, rows, series: [
      series("available", rows, s => s.available), series("held or ordered", rows, s => s.held), series("sold", rows, s => s.sold),
    ]};
  }

  function timeChart(title, percentile) {
    return {title, log: true, rows: moments, series: [
      series("whole step", moments, m => m[percentile]),
      series("wait for a connection", moments, m => m["connection_" + percentile]),
      series("server", moments, m => m["server_" + percentile]),
    ]};
  }

  // The three most frequent refusals have their own lines; the others share one.
  function requestsChart() {
    // A tick is at least 0.25 s. One that was cut late is followed by one that looks shorter.
    const seconds = i => Math.max(moments[i].at_s - (i > 0 ? moments[i - 1].at_s : 0), 0.25);
    const rate = (name, count) => series(name, moments, (m, i) => count(m) / seconds(i));
    const codes = Object.keys(refusals).sort((a, b) => refusals[b] - refusals[a]);
    const lines = [rate("all requests", m => m.requests), ...codes.slice(0, 3).map(code => rate(code, m => m.answers[code] || 0))];
    const others = codes.slice(3);
    if (others.length > 0) {
      lines.push(rate("other refusals", m => others.reduce((sum, code) => sum + (m.answers[code] || 0), 0)));
    }
    return {title: "Requests and refusals", unit: "per second", wide: true, rows: moments, series: lines};
  }

  const charts = [
    stockChart("The first ten seconds", stock.filter(s => s.at_s <= 10), true),
    stockChart("The whole sale", stock, false),
    {title: "Active shoppers", fill: true, rows: moments, series: [series("active", moments, m => m.active_shoppers)]},
    timeChart("Where the time goes: median (p50)", "p50_ms"),
    timeChart("Where the time goes: slowest 1 % (p99)", "p99_ms"),
    requestsChart(),
  ];

  const powersOfTen = (u, axis, low, high) => {
    const powers = [];
    for (let p = Math.ceil(Math.log10(low)); p <= Math.log10(high); p++) powers.push(10 ** p);
    return powers;
  };

  function card(chart) {
    const box = document.createElement("div"), title = document.createElement("h3"), unit = document.createElement("span");
    box.className = chart.wide ? "chart wide" : "chart";
    title.textContent = chart.title + " ";
    unit.textContent = chart.unit ? `(${chart.unit})` : "";
    title.append(unit);
    box.append(title, document.createElement("div"));
    document.getElementById("charts").append(box);
    return box.lastChild;
  }

  function draw(chart) {
    const css = getComputedStyle(document.documentElement);
    const line = css.getPropertyValue("--line"), text = chart.log ? duration : v => number.format(v);
    const axis = {stroke: css.getPropertyValue("--pale"), font: "12px system-ui, sans-serif", grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}};
    return new uPlot({
      width: chart.box.clientWidth,
      height: chart.wide ? 280 : 240,
      scales: {
        x: {time: false},
        y: chart.log ? {distr: 3} : {range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1]},
      },
      axes: [
        {...axis, space: 60, values: (u, marks) => marks.map(v => v + " s")},
        {...axis, size: 64, ...(chart.log ? {splits: powersOfTen, space: 16} : {}), values: (u, marks) => marks.map(v => v == null ? "" : text(v))},
      ],
      cursor: {y: false, drag: {x: true, y: false}, sync: {key: "sale"}},
      series: [
        {label: "time", value: (u, v) => v == null ? "–" : v.toFixed(1) + " s"},
        ...chart.series.map((s, i) => ({
          label: s.name, stroke: colours[i], width: 2, spanGaps: true, points: {show: false},
          fill: chart.fill ? colours[i] + "22" : undefined, value: (u, v) => v == null ? "–" : text(v),
        })),
      ],
      // A logarithmic axis has no place for zero.
    }, [chart.rows.map(r => r.at_s), ...chart.series.map(s => chart.log ? s.values.map(v => v > 0 ? v : null) : s.values)], chart.box);
  }

  function drawAll() {
    for (const chart of charts) {
      chart.box = chart.box || card(chart);
      if (chart.plot) chart.plot.destroy();
      chart.plot = draw(chart);
    }
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("resize", () => charts.forEach(({box, plot}) => plot.setSize({width: box.clientWidth, height: plot.height})));
})();
