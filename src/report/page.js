"use strict";
/* The page works without this: figures, tables and some cards are in it. Here the depth,
   score and average in view are chosen, marks are moved to what they then are, and the
   gallery is opened. All numbers are in the JSON of each study. */
(function () {
  var LOOKS = ["s11", "s01", "s10", "s00"];
  var tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.appendChild(tip);
  document.body.className = "live";

  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    var box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 4)) + "px";
    tip.style.top = (y + box.height + 24 > innerHeight ? y - box.height - 12 : y + 16) + "px";
  }
  function hideTip() { tip.hidden = true; }
  document.addEventListener("keydown", function (event) { if (event.key === "Escape") hideTip(); });
  document.addEventListener("scroll", hideTip, true);

  function el(name, attributes, children) {
    var svg = /^(svg|g|rect|path|text|image|line|title)$/.test(name);
    var node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
                   : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) {
      if (attributes[key] !== null && attributes[key] !== undefined) node.setAttribute(key, attributes[key]);
    });
    [].concat(children === undefined ? [] : children).forEach(function (child) {
      node.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
    });
    return node;
  }
  function fixed(value, digits) { return value === null ? "NA" : value.toFixed(digits); }
  function six(value) { return value === null ? "NA" : String(Number(value.toPrecision(6))); }
  function rankText(rank) { return rank < 100 ? String(+rank.toFixed(1)) : d3.format(",")(Math.round(rank)); }
  function estimateText(e) {
    return e[0] === null ? "NA" : fixed(e[0], 3) + (e[1] === null ? "" : " [" + fixed(e[1], 3) + ", " + fixed(e[2], 3) + "]");
  }
  function save(name, type, text) {
    var a = el("a", { href: URL.createObjectURL(new Blob([text], { type: type })), download: name });
    document.body.appendChild(a);
    a.click();
    a.remove();
    setTimeout(function () { URL.revokeObjectURL(a.href); }, 10000);
  }

  /* ---- downloads: what is in view, as it is ---- */

  function svgText(svg) {
    var copy = svg.cloneNode(true), from = svg.querySelectorAll("*"), to = copy.querySelectorAll("*");
    var keep = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-weight"];
    from.forEach(function (node, i) {
      if (/^(title|desc)$/.test(node.tagName)) return;
      var style = getComputedStyle(node);
      if (style.display === "none") { to[i].setAttribute("display", "none"); return; }
      keep.forEach(function (key) { to[i].style[key] = style.getPropertyValue(key); });
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.style.background = getComputedStyle(svg.parentNode).backgroundColor;
    return new XMLSerializer().serializeToString(copy);
  }
  function csvText(table) {
    return [].map.call(table.rows, function (row) {
      return [].map.call(row.cells, function (cell) {
        var text = cell.textContent;
        return /[",\n]/.test(text) ? "\"" + text.replace(/"/g, "\"\"") + "\"" : text;
      }).join(",");
    }).join("\r\n") + "\r\n";
  }
  function addTools(figure) {
    var tools = figure.querySelector(".tools"), name = figure.dataset.figure;
    var note = el("span", {}), svg = el("button", { type: "button" }, "SVG"), csv = el("button", { type: "button" }, "CSV");
    svg.setAttribute("aria-label", "Download " + figure.getAttribute("aria-label") + " as SVG");
    csv.setAttribute("aria-label", "Download the numbers of " + figure.getAttribute("aria-label") + " as CSV");
    svg.onclick = function () {
      var shown = [].filter.call(figure.querySelectorAll("svg.fig"), function (s) { return s.getClientRects().length; })[0];
      save(name + ".svg", "image/svg+xml", svgText(shown));
    };
    csv.onclick = function () { save(name + ".csv", "text/csv", csvText(figure.querySelector("table"))); };
    [note, svg, csv].forEach(function (node) { tools.appendChild(node); });
    figure.tapetum = { svg: svgText, csv: csvText };
    return note;
  }

  /* ---- plots ---- */

  function plotOf(svg) {
    var n = svg.getAttribute("data-plot0").split(",").map(Number);
    return { left: n[0], top: n[1], right: n[2], bottom: n[3], x: [n[4], n[5]], y: [n[6], n[7]] };
  }
  function scaleX(plot) { return d3.scale.linear().domain(plot.x).range([plot.left, plot.right]); }
  function shapeOf(svg, look) {
    var dot = svg.querySelector(".dot." + look);
    return dot ? dot.getAttribute("d") : "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0";
  }
  function rangeOf(list, low, high, floor, ceiling) {
    list.forEach(function (e) {
      if (e[0] === null) return;
      low = Math.min(low, e[1] === null ? e[0] : e[1], e[0]);
      high = Math.max(high, e[2] === null ? e[0] : e[2], e[0]);
    });
    if (!(high >= low)) return [0, 1];
    var air = Math.max(.06 * (high - low), .01);
    return [Math.max(low - air, floor), Math.min(high + air, ceiling)];
  }
  /* series: {look, name, c, points: [[x, estimate]]} */
  function drawSeries(svg, series, range, title, xName) {
    var plot = plotOf(svg), x = scaleX(plot), root = d3.select(svg);
    var y = d3.scale.linear().domain(range).range([plot.bottom, plot.top]).clamp(true);
    root.selectAll("[data-k=line],[data-k=band],[data-k=dot]").remove();
    var ticks = root.selectAll("[data-axis=y]");
    ticks.remove();
    y.ticks(5).forEach(function (value) {
      root.insert("path", "[data-k]").attr({ "class": "line grid", "data-axis": "y",
        d: "M" + plot.left + "," + y(value) + "H" + plot.right });
      root.append("text").attr({ "class": "text muted", "data-axis": "y", "font-size": 12, "text-anchor": "end",
        x: plot.left - 8, y: y(value) + 4 }).text(String(+value.toPrecision(6)));
    });
    root.selectAll("[data-axis=title]").text(title);
    series.slice().reverse().forEach(function (s) {
      var there = function (p) { return p[1][0] !== null; };
      var radius = s.points.length > 20 ? .75 : 1;
      root.append("path").attr({ "class": "area " + s.look, "data-k": "band", "data-c": s.c,
        d: d3.svg.area().defined(function (p) { return there(p) && p[1][1] !== null; })
          .x(function (p) { return x(p[0]); }).y0(function (p) { return y(p[1][1]); })
          .y1(function (p) { return y(p[1][2]); })(s.points) });
      root.append("path").attr({ "class": "line " + s.look, "data-k": "line", "data-c": s.c,
        d: d3.svg.line().defined(there).x(function (p) { return x(p[0]); }).y(function (p) { return y(p[1][0]); })(s.points) });
      root.selectAll(".new").data(s.points.filter(there)).enter().append("path")
        .attr({ "class": "dot " + s.look, "data-k": "dot", "data-c": s.c, d: shapeOf(svg, s.look),
          "data-x": function (p) { return p[0]; }, "data-v": function (p) { return six(p[1][0]); },
          transform: function (p) { return "translate(" + x(p[0]) + "," + y(p[1][0]) + ")scale(" + radius + ")"; } })
        .append("title").text(function (p) { return s.name + ", " + xName + " " + p[0] + ": " + estimateText(p[1]); });
    });
  }
  function fillTable(figure, rows) {
    var body = figure.querySelector("tbody");
    if (!body) return;
    rows.forEach(function (row, i) {
      if (!body.rows[i]) body.appendChild(el("tr", {}, row.map(function () { return el("td"); })));
      row.forEach(function (text, k) { body.rows[i].cells[k].textContent = text; });
    });
  }

  /* ---- one study ---- */

  function study(root) {
    var data = JSON.parse(document.getElementById("data-" + root.dataset.study).textContent);
    var nC = data.conditions.length, nD = data.depths.length, nM = data.metrics.length, nQ = data.quantityNames.length;
    var state = { depth: data.depth, average: 0,
      metric: data.metrics.map(function (m) { return m.name; }).indexOf("log_rank") };
    var figures = {};
    root.querySelectorAll("figure[data-figure]").forEach(function (figure) { figures[figure.dataset.figure] = figure; });

    function three(list, at) { return [list[3 * at], list[3 * at + 1], list[3 * at + 2]]; }
    function cell(depth, c) { return three(data.cells, ((state.average * nM + state.metric) * nD + depth) * nC + c); }
    function quantity(depth, name) {
      return three(data.quantities, ((state.average * nM + state.metric) * nD + depth) * nQ + data.quantityNames.indexOf(name));
    }
    function each(name, draw) {
      if (figures[name]) figures[name].querySelectorAll("svg.fig").forEach(function (svg) { draw(svg, figures[name]); });
    }
    function metric() { return data.metrics[state.metric]; }
    function limits() { return metric().name === "median" ? [1, data.N] : [0, 1]; }

    /* ---- curves ---- */
    function depthSeries() {
      return data.curves.map(function (i) {
        var c = data.conditions[i];
        return { look: c.look, name: c.label, c: i, points: data.depths.map(function (d, k) { return [d, cell(k, i)]; }) };
      });
    }
    function quantitySeries(names, labels, looks) {
      return names.map(function (name, i) {
        return { look: looks[i], name: labels[i], c: i, points: data.depths.map(function (d, k) { return [d, quantity(k, name)]; }) };
      });
    }
    function doseSeries() {
      return data.doses.map(function (curve, i) {
        return { look: ["s01", "s10", "s00", "oa", "ob", "oc"][i % 6], name: curve.name, c: i,
          points: curve.points.map(function (p) { return [p[0], cell(state.depth, p[1])]; }) };
      });
    }
    function estimates(series) {
      return d3.merge(series.map(function (s) { return s.points.map(function (p) { return p[1]; }); }));
    }
    function seriesRows(series) {
      return data.depths.map(function (d, k) {
        return [String(d)].concat(d3.merge(series.map(function (s) { return s.points[k][1].map(six); })));
      });
    }
    var sets = {
      recovery: function () {
        return quantitySeries(["R", "R_V", "CI"], ["R, decoder alone restores", "R_V, encoder alone", "CI, compensation"], ["s01", "ob", "oa"]);
      },
      effects: function () {
        return quantitySeries(["d0", "d1", "I"], ["d0, damage without the decoder", "d1, damage with it", "I, interaction"], ["s10", "s01", "oa"]);
      }
    };
    function drawCurves() {
      var series = depthSeries(), log = metric().name === "log_rank", limit = limits();
      var band = log && state.average === 0 && data["null"];
      var all = estimates(series);
      if (band) for (var k = 0; k < nD; k++) all.push(three(data["null"], k));
      var range = rangeOf(all, Infinity, -Infinity, limit[0], limit[1]);
      each("depth", function (svg, figure) {
        drawSeries(svg, series, range, metric().title, "depth");
        d3.select(svg).selectAll("[data-axis=rank]").style("display", log ? null : "none");
        d3.select(svg).selectAll("[data-k=null]").style("display", band ? null : "none");
        if (log) moveRanks(svg, range);
        if (band) moveNull(svg, range);
        fillTable(figure, seriesRows(series));
      });
      Object.keys(sets).forEach(function (name) {
        var list = sets[name](), ratios = name === "recovery";
        var span = ratios ? rangeOf(estimates(list), 0, 1, -.5, 1.5) : rangeOf(estimates(list), 0, 0, -Infinity, Infinity);
        each(name, function (svg, figure) {
          drawSeries(svg, list, span, ratios ? "share of the loss" : "difference of scores", "depth");
          fillTable(figure, seriesRows(list));
        });
      });
    }
    function moveRanks(svg, range) {
      var plot = plotOf(svg), y = d3.scale.linear().domain(range).range([plot.bottom, plot.top]);
      var root = d3.select(svg);
      root.selectAll("[data-axis=rank]").filter(function () { return this.tagName === "path" || /^1?0*$/.test(this.textContent.replace(/e.*/, "")); }).remove();
      for (var rank = 1; !data.sets && rank <= data.N; rank *= 10) {
        var s = 1 - Math.log(rank) / Math.log(data.N);
        if (s < range[0] || s > range[1]) continue;
        root.append("path").attr({ "class": "line muted", "data-axis": "rank", d: "M" + plot.right + "," + y(s) + "h4" });
        root.append("text").attr({ "class": "text muted", "data-axis": "rank", "font-size": 12, x: plot.right + 8, y: y(s) + 4 }).text(String(rank));
      }
    }
    function moveNull(svg, range) {
      var plot = plotOf(svg), x = scaleX(plot), y = d3.scale.linear().domain(range).range([plot.bottom, plot.top]);
      var points = data.depths.map(function (d, k) { return [d, three(data["null"], k)]; });
      d3.select(svg).selectAll(".area[data-k=null]").attr("d", d3.svg.area().x(function (p) { return x(p[0]); })
        .y0(function (p) { return y(p[1][1]); }).y1(function (p) { return y(p[1][2]); })(points));
      d3.select(svg).selectAll(".line[data-k=null]").attr("d", d3.svg.line().x(function (p) { return x(p[0]); })
        .y(function (p) { return y(p[1][0]); })(points));
    }
    function drawDoses() {
      if (!data.doses.length) return;
      var limit = limits(), all = [];
      data.doses.forEach(function (curve) {
        curve.points.forEach(function (p) { for (var k = 0; k < nD; k++) all.push(cell(k, p[1])); });
      });
      var range = rangeOf(all, Infinity, -Infinity, limit[0], limit[1]), series = doseSeries();
      each("doses", function (svg, figure) {
        drawSeries(svg, series, range, metric().title, "dose");
        fillTable(figure, d3.merge(data.doses.map(function (curve) {
          return curve.points.map(function (p) {
            return [curve.name, six(p[0]), data.conditions[p[1]].name].concat(cell(state.depth, p[1]).map(six));
          });
        })));
      });
    }

    /* ---- the 2x2 ---- */
    function arrow(ends, width) {
      var dx = ends[2] - ends[0], dy = ends[3] - ends[1], length = Math.hypot(dx, dy) || 1, ux = dx / length, uy = dy / length;
      var half = width / 2, wing = half + 5, head = Math.min(wing * 1.6, length * .6);
      var nx = ends[2] - ux * head, ny = ends[3] - uy * head;
      return "M" + [[ends[0] - uy * half, ends[1] + ux * half], [nx - uy * half, ny + ux * half], [nx - uy * wing, ny + ux * wing],
        [ends[2], ends[3]], [nx + uy * wing, ny - ux * wing], [nx + uy * half, ny - ux * half], [ends[0] + uy * half, ends[1] - ux * half]]
        .map(function (p) { return p.map(function (v) { return +v.toFixed(2); }).join(","); }).join("L") + "Z";
    }
    function drawCells() {
      if (!data.design) return;
      var cells = data.design.map(function (c) { return cell(state.depth, c); });
      var q = { cost: [cells[0][0] - cells[2][0], null, null], back: [cells[1][0] - cells[3][0], null, null] };
      data.quantityNames.forEach(function (name) { q[name] = quantity(state.depth, name); });
      var most = metric().name === "median" ? d3.max(cells, function (e) { return e[0]; }) : 1;
      each("cells", function (svg, figure) {
        var root = d3.select(svg);
        cells.forEach(function (e, c) {
          root.selectAll("[data-k=value][data-c='" + c + "']").text(fixed(e[0], 3)).attr("data-v", six(e[0]));
          root.selectAll("[data-k=interval][data-c='" + c + "']").text(e[1] === null ? "" : "[" + fixed(e[1], 3) + ", " + fixed(e[2], 3) + "]");
          var bar = root.selectAll("[data-k=bar][data-c='" + c + "']");
          bar.attr("width", bar.attr("data-width") * Math.max(0, Math.min(1, e[0] / most)));
        });
        root.selectAll("[data-k=arrow]").each(function () {
          var ends = this.getAttribute("data-ends").split(",").map(Number), value = q[this.getAttribute("data-q")][0];
          this.setAttribute("d", arrow(ends, 3 + 30 * Math.min(Math.abs(value), .6)));
        });
        root.selectAll("[data-k=effect]").each(function () { this.textContent = fixed(q[this.getAttribute("data-q")][0], 3); });
        root.selectAll("[data-k=ratio]").each(function () { this.textContent = fixed(q[this.getAttribute("data-q")][0], 2); });
        root.selectAll("[data-k=effect-interval],[data-k=ratio-interval]").each(function () {
          var e = q[this.getAttribute("data-q")];
          this.textContent = e[1] === null ? "" : "[" + fixed(e[1], 2) + ", " + fixed(e[2], 2) + "]";
        });
        fillTable(figure, LOOKS.map(function (name, c) { return [name].concat(cells[c].map(six)); })
          .concat(data.quantityNames.map(function (name) { return [name].concat(q[name].map(six)); })));
      });
    }

    /* ---- forests ---- */
    function moveInterval(svg, x, kind, p, e, name) {
      var key = "[data-k=" + kind + "][data-p='" + p + "']", root = d3.select(svg);
      root.selectAll("path.line" + key).each(function () {
        var y = this.getAttribute("d").split(/[ML,]/)[2];
        this.setAttribute("d", "M" + x(e[1]) + "," + y + "L" + x(e[2]) + "," + y);
      });
      root.selectAll("path.dot" + key).each(function () {
        var y = this.getAttribute("transform").split(/[(,)]/)[2];
        this.setAttribute("transform", "translate(" + x(e[0]) + "," + y + ")");
        this.setAttribute("data-v", six(e[0]));
        d3.select(this).select("title").text(name + ": " + estimateText(e));
      });
    }
    function drawParts() {
      each("parts", function (svg, figure) {
        var x = scaleX(plotOf(svg)), body = figure.querySelector("tbody");
        data.parts.forEach(function (part, p) {
          var at = function (v) { return three(part.v, state.depth * 6 + v); };
          moveInterval(svg, x, "d0", p, at(4), part.name);
          moveInterval(svg, x, "d1", p, at(5), part.name);
          var row = body.rows[p].cells;
          at(4).concat(at(5), [0, 1, 2, 3].map(function (v) { return at(v)[0]; }))
            .forEach(function (value, k) { row[3 + k].textContent = six(value); });
        });
      });
      each("controls", function (svg, figure) {
        var x = scaleX(plotOf(svg)), body = figure.querySelector("tbody");
        data.controls.forEach(function (control, p) {
          var values = three(control.v, state.depth * 2), own = three(control.v, state.depth * 2 + 1);
          var cells = body.rows[p].cells, name = cells[0].textContent + ", " + cells[1].textContent;
          moveInterval(svg, x, "control", p, values, name);
          moveInterval(svg, x, "own", p, own, name);
          values.concat(own).forEach(function (value, k) { cells[3 + k].textContent = six(value); });
        });
      });
    }

    /* ---- what is in view ---- */
    function moveCursor() {
      ["depth", "recovery", "effects"].forEach(function (name) {
        each(name, function (svg) {
          var plot = plotOf(svg), x = scaleX(plot)(data.depths[state.depth]);
          d3.select(svg).selectAll("[data-k=cursor]").attr("d", "M" + x + "," + (plot.top - 4) + "V" + plot.bottom);
        });
      });
    }
    var notes = {};
    function setNotes() {
      var at = "depth " + data.depths[state.depth];
      var what = metric().name + ", " + data.averages[state.average] + " average";
      Object.keys(notes).forEach(function (name) {
        notes[name].textContent =
          name === "cells" || name === "doses" ? at + " \u00b7 " + what
          : name === "parts" || name === "controls" ? at + " \u00b7 S" : what;
      });
    }
    function setDepth(depth) {
      state.depth = Math.max(0, Math.min(nD - 1, depth));
      slider.value = state.depth;
      output.textContent = data.depths[state.depth];
      slider.setAttribute("aria-valuetext", "depth " + data.depths[state.depth]);
      moveCursor();
      drawCells();
      drawDoses();
      drawParts();
      setNotes();
      gallery.draw();
    }
    function setScore() {
      drawCurves();
      setDepth(state.depth);
    }

    /* Hover over curves reads all of them at the nearest depth; arrows move the depth. */
    function listenCurves(name) {
      each(name, function (svg) {
        var plot = plotOf(svg), list = function () { return name === "depth" ? depthSeries() : sets[name](); };
        function nearest(event) {
          var box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
          var value = scaleX(plot).invert((event.clientX - box.left) * view.width / box.width);
          var best = 0;
          data.depths.forEach(function (d, k) { if (Math.abs(d - value) < Math.abs(data.depths[best] - value)) best = k; });
          return best;
        }
        function read(k) {
          return "depth " + data.depths[k] + "\n" + list().map(function (s) { return s.name + ": " + estimateText(s.points[k][1]); }).join("\n");
        }
        svg.addEventListener("mousemove", function (event) { showTip(read(nearest(event)), event.clientX, event.clientY); });
        svg.addEventListener("mouseleave", hideTip);
        svg.addEventListener("click", function (event) { setDepth(nearest(event)); });
        svg.addEventListener("keydown", function (event) {
          var step = { ArrowLeft: -1, ArrowRight: 1, Home: -nD, End: nD }[event.key];
          if (!step) return;
          event.preventDefault();
          setDepth(state.depth + step);
          var box = svg.getBoundingClientRect();
          showTip(read(state.depth), box.left + box.width / 2, box.top + 8);
        });
      });
    }
    /* Marks that stand alone: hover, or arrows from one to the next. */
    function listenMarks(name) {
      each(name, function (svg) {
        var at = -1;
        function show(dot) {
          var box = dot.getBoundingClientRect();
          showTip(dot.querySelector("title").textContent, box.left, box.top);
        }
        svg.addEventListener("mouseover", function (event) {
          if (event.target.matches(".dot[data-k]")) show(event.target); else hideTip();
        });
        svg.addEventListener("mouseleave", hideTip);
        svg.addEventListener("keydown", function (event) {
          var step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
          var dots = svg.querySelectorAll(".dot[data-k]");
          if (!step || !dots.length) return;
          event.preventDefault();
          at = (at + step + dots.length) % dots.length;
          show(dots[at]);
        });
      });
    }

    /* ---- the bar ---- */
    var slider = el("input", { type: "range", min: 0, max: nD - 1, step: 1, "aria-label": "Depth", id: "slider-" + root.dataset.study });
    var output = el("output", { "for": slider.id });
    function select(label, names, value, change) {
      var box = el("select", {}, names.map(function (name, i) { return el("option", { value: i }, name); }));
      box.value = value;
      box.onchange = function () { change(+box.value); };
      return el("label", {}, [label, box]);
    }
    slider.oninput = function () { setDepth(+slider.value); };
    root.appendChild(el("div", { "class": "bar", role: "group", "aria-label": "What is in view" }, [
      el("div", { "class": "slide" }, [el("label", { "for": slider.id }, "depth"), slider, output]),
      select("score", data.metrics.map(function (m) { return m.name; }), state.metric, function (v) { state.metric = v; setScore(); }),
      select("average", data.averages, 0, function (v) { state.average = v; setScore(); })]));

    Object.keys(figures).forEach(function (name) {
      notes[name] = addTools(figures[name]);
      each(name, function (svg) { svg.setAttribute("tabindex", "0"); });
    });
    ["depth", "recovery", "effects"].forEach(listenCurves);
    ["doses", "parts", "controls"].forEach(listenMarks);
    var gallery = makeGallery(root, data, state);
    setDepth(state.depth);
    root.tapetum = { data: data, state: state };
  }

  /* ---- the gallery ---- */

  function makeGallery(root, data, state) {
    var PAGE = 12, box = root.querySelector(".gallery"), log2N = Math.log2(data.N);
    var heat = d3.scale.linear().domain(d3.range(data.heat.length).map(function (i) { return i / (data.heat.length - 1); })).range(data.heat).clamp(true);
    var change = d3.scale.linear().domain([-log2N / 2, 0, log2N / 2]).range(["#0072b2", "#f1eee6", "#c85200"]).clamp(true);
    var view = { a: data.design ? data.design[0] : 0, b: data.design ? data.design[3] : Math.min(1, data.conditions.length - 1), page: 0, kind: "", sort: "order" };
    var decoded = new Map();

    function codes(item, c) {
      var key = item.id + ":" + c;
      if (!decoded.has(key)) {
        if (decoded.size > 4000) decoded.clear();
        var bytes = atob(item.r[c] || "");
        decoded.set(key, Uint16Array.from({ length: bytes.length / 2 }, function (_, i) {
          return bytes.charCodeAt(2 * i) | bytes.charCodeAt(2 * i + 1) << 8;
        }));
      }
      return decoded.get(key);
    }
    function kept(depth) {
      var best = 0;
      data.kept.forEach(function (d, k) { if (Math.abs(d - depth) < Math.abs(data.kept[best] - depth)) best = k; });
      return best;
    }
    function rank(item, c, k, p) {
      var code = codes(item, c)[k * item.p.length + p];
      return code === undefined ? null : data.exact ? code / 2 : Math.pow(2, code * log2N / 65535);
    }
    function bestRank(item, c, k) {
      var best = null;
      item.p.forEach(function (_, p) { var r = rank(item, c, k, p); if (r !== null && (best === null || r < best)) best = r; });
      return best;
    }
    function place(image, patch) {
      if (image.at) return image.at[patch];
      var size = image.rows * image.cols;
      return [Math.floor(patch / size), Math.floor(patch % size / image.cols), patch % image.cols];
    }
    function patchBox(image, patch) {
      var at = place(image, patch), grid = image.grid[at[0]];
      if (grid && grid.x.length > 2 * at[2] + 1 && grid.y.length > 2 * at[1] + 1)
        return [grid.x[2 * at[2]], grid.y[2 * at[1]], grid.x[2 * at[2] + 1], grid.y[2 * at[1] + 1]];
      var w = image.w / image.cols, h = image.h / image.rows;
      return [at[2] * w, at[1] * h, (at[2] + 1) * w, (at[1] + 1) * h];
    }
    function zoom(image, item) {
      var boxes = item.p.map(function (p) { return patchBox(image, p); });
      var x0 = d3.min(boxes, function (b) { return b[0]; }), y0 = d3.min(boxes, function (b) { return b[1]; });
      var x1 = d3.max(boxes, function (b) { return b[2]; }), y1 = d3.max(boxes, function (b) { return b[3]; });
      var side = Math.max(1.5 * (x1 - x0), 1.5 * (y1 - y0), Math.min(image.w, image.h) / 3);
      side = Math.min(side, Math.max(image.w, image.h));
      var x = (x0 + x1 - side) / 2, y = (y0 + y1 - side) / 2;
      return [side >= image.w ? (image.w - side) / 2 : Math.max(0, Math.min(x, image.w - side)),
        side >= image.h ? (image.h - side) / 2 : Math.max(0, Math.min(y, image.h - side)), side, side];
    }
    function gridPath(image) {
      return image.grid.map(function (grid) {
        var d = "", left = grid.x[0], right = grid.x[grid.x.length - 1], top = grid.y[0], bottom = grid.y[grid.y.length - 1];
        for (var i = 0; i < grid.x.length; i += 2) d += "M" + grid.x[i] + "," + top + "V" + bottom;
        for (i = 0; i < grid.y.length; i += 2) d += "M" + left + "," + grid.y[i] + "H" + right;
        return d;
      }).join("");
    }
    function photo(image, window, label) {
      var svg = el("svg", { "class": "view", viewBox: window.join(" "), role: "img", "aria-label": label });
      svg.appendChild(el("rect", { "class": "ground", width: image.w, height: image.h }));
      if (image.thumb) svg.appendChild(el("image", { width: image.w, height: image.h, preserveAspectRatio: "none", href: "data:image/jpeg;base64," + image.thumb }));
      svg.appendChild(el("path", { "class": "lines", d: gridPath(image) }));
      return svg;
    }
    function addOutline(svg, item) {
      if (!item.o) return;
      svg.appendChild(el("path", { "class": "outline", d: item.o }));
      svg.appendChild(el("path", { "class": "outline", d: item.o }));
    }
    function wordsAt(item, c, patch) {
      var depth = data.depths[state.depth], best = null;
      Object.keys(item.w).forEach(function (key) {
        var k = key.split(",").map(Number);
        if (k[0] === c && k[2] === patch && (best === null || Math.abs(k[1] - depth) < Math.abs(best - depth))) best = k[1];
      });
      if (best === null) return null;
      return { depth: best, words: item.w[[c, best, patch].join(",")].map(function (id) { return (data.tokens[id] || "?").replace(/^[\u2581\u0120]/, "\u2423"); }) };
    }
    function patchText(item, image, p, all) {
      var k = kept(state.depth), at = place(image, item.p[p]), lines = ["patch row " + (at[1] + 1) + ", column " + (at[2] + 1) + ", depth " + data.depths[data.kept[k]]];
      (all ? d3.range(data.conditions.length) : view.b === view.a ? [view.a] : [view.a, view.b]).forEach(function (c) {
        var r = rank(item, c, k, p), words = wordsAt(item, c, item.p[p]);
        lines.push(data.conditions[c].label + ": rank " + (r === null ? "unknown" : rankText(r)) +
          (words ? "\n   " + words.words.join("  ") + (words.depth !== data.depths[state.depth] ? "  (depth " + words.depth + ")" : "") : ""));
      });
      return lines.join("\n");
    }
    /* mode: a condition, or "change" from a to b */
    function heatView(item, image, mode, said) {
      var k = kept(state.depth), label = mode === "change" ? "change of rank from " + data.conditions[view.a].label + " to " + data.conditions[view.b].label : "ranks, " + data.conditions[mode].label;
      var svg = photo(image, zoom(image, item), label);
      item.p.forEach(function (patch, p) {
        var b = patchBox(image, patch), fill = "none", r = rank(item, mode === "change" ? view.a : mode, k, p);
        if (r !== null) fill = mode === "change" ? change(Math.log2(rank(item, view.b, k, p) / r)) : heat(1 - Math.log2(r) / Math.log2(item.N || data.N));
        var rect = el("rect", { "class": "patch", x: b[0], y: b[1], width: b[2] - b[0], height: b[3] - b[1], fill: fill, "data-patch": patch, "data-rank": r });
        rect.addEventListener("mousemove", function (event) { showTip(patchText(item, image, p, false), event.clientX, event.clientY); });
        rect.addEventListener("mouseleave", hideTip);
        if (said) {
          rect.setAttribute("tabindex", p ? "-1" : "0");
          rect.setAttribute("role", "button");
          rect.setAttribute("aria-label", patchText(item, image, p, false));
          rect.addEventListener("focus", function () { said.textContent = patchText(item, image, p, true); });
          rect.addEventListener("click", function () { said.textContent = patchText(item, image, p, true); });
          rect.addEventListener("keydown", function (event) { step(event, svg, item, image, p); });
        }
        svg.appendChild(rect);
      });
      addOutline(svg, item);
      return svg;
    }
    /* The nearest patch in the direction of an arrow key. */
    function step(event, svg, item, image, p) {
      var way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      var from = patchBox(image, item.p[p]), best = -1, least = Infinity;
      item.p.forEach(function (patch, q) {
        var to = patchBox(image, patch), dx = to[0] - from[0], dy = to[1] - from[1], along = dx * way[0] + dy * way[1];
        var far = along + 3 * Math.abs(dx * way[1] + dy * way[0]);
        if (along > 0 && far < least) { least = far; best = q; }
      });
      if (best < 0) return;
      var rects = svg.querySelectorAll("rect.patch");
      rects[p].setAttribute("tabindex", "-1");
      rects[best].setAttribute("tabindex", "0");
      rects[best].focus();
    }
    function figure(svg, caption) { return el("figure", {}, [svg, el("figcaption", { title: caption }, caption)]); }
    function wholePhoto(item, image) {
      var svg = photo(image, [0, 0, image.w, image.h], "photograph with the part's outline"), z = zoom(image, item);
      addOutline(svg, item);
      svg.appendChild(el("rect", { "class": "frame", x: z[0], y: z[1], width: z[2], height: z[3] }));
      return svg;
    }
    function views(item, image, said) {
      var list = [figure(wholePhoto(item, image), "photograph"), figure(heatView(item, image, view.a, said), data.conditions[view.a].label)];
      if (view.b !== view.a) {
        if (said) list.push(figure(heatView(item, image, view.b, said), data.conditions[view.b].label));
        list.push(figure(heatView(item, image, "change", said), "change to " + data.conditions[view.b].label));
      }
      return el("div", { "class": "views" }, list);
    }
    function rankLine(item) {
      var k = kept(state.depth), shown = data.design || d3.range(Math.min(4, data.conditions.length));
      var line = el("p", { "class": "ranks" }, "best rank, depth " + data.depths[data.kept[k]] + ": ");
      shown.forEach(function (c, i) {
        var best = bestRank(item, c, k);
        line.appendChild(document.createTextNode((i ? " \u00b7 " : "") + data.conditions[c].label + " "));
        line.appendChild(el("b", { "data-c": c, "data-v": best }, best === null ? "?" : rankText(best)));
      });
      return line;
    }
    function card(item) {
      var image = data.images[item.i], open = el("button", { type: "button" }, [el("b", {}, item.label), " of " + item.object]);
      open.onclick = function () { openItem(item); };
      var node = el("div", { "class": "card", "data-item": item.id }, [
        el("p", { "class": "name" }, [open, " ", el("span", {}, image.name)]), views(item, image, null), rankLine(item)]);
      return node;
    }

    /* ---- one part, large ---- */
    function depthChart(item) {
      var w = 640, h = 260, left = 60, right = w - 12, top = 16, bottom = h - 34;
      var svg = el("svg", { "class": "fig", viewBox: "0 0 " + w + " " + h, role: "img", "aria-label": "best rank by depth, logarithmic" });
      var d = data.kept.map(function (k) { return data.depths[k]; });
      var x = d3.scale.linear().domain([d[0], d[d.length - 1] || 1]).range([left, right]), y = d3.scale.log().domain([1, data.N]).range([top, bottom]);
      var root = d3.select(svg);
      for (var r = 1; r <= data.N; r *= 10) {
        root.append("path").attr({ "class": "line grid", d: "M" + left + "," + y(r) + "H" + right });
        root.append("text").attr({ "class": "text muted", "font-size": 12, "text-anchor": "end", x: left - 8, y: y(r) + 4 }).text(d3.format(",")(r));
      }
      x.ticks(8).forEach(function (v) {
        root.append("text").attr({ "class": "text muted", "font-size": 12, "text-anchor": "middle", x: x(v), y: bottom + 18 }).text(v);
      });
      root.append("text").attr({ "class": "text muted", "font-size": 12, "text-anchor": "end", x: right, y: h - 2 }).text("depth; best rank on a logarithmic scale, 1 on top");
      root.append("path").attr({ "class": "line cursor", d: "M" + x(data.depths[state.depth]) + "," + top + "V" + bottom });
      data.conditions.forEach(function (c, i) {
        var points = d.map(function (depth, k) { return [depth, bestRank(item, i, k)]; });
        root.append("path").attr({ "class": "line " + c.look, d: d3.svg.line().defined(function (p) { return p[1] !== null; })
          .x(function (p) { return x(p[0]); }).y(function (p) { return y(p[1]); })(points) }).append("title").text(c.label);
      });
      return svg;
    }
    function legend() {
      return el("p", { "class": "keys" }, d3.merge(data.conditions.map(function (c) {
        var svg = el("svg", { "class": "fig sign", viewBox: "0 0 28 10", "aria-hidden": "true" });
        svg.appendChild(el("path", { "class": "line " + c.look, d: "M0,5H28" }));
        return [svg, el("span", {}, c.label)];
      })));
    }
    function openItem(item) {
      var image = data.images[item.i], said = el("p", { "class": "said", "aria-live": "polite" }, "Point at a patch, or move to it with Tab and the arrow keys: its rank under every condition, and the words it reads as.");
      var close = el("button", { type: "button" }, "Close"), dialog = el("dialog", { "aria-label": item.label + " of " + item.object });
      close.onclick = function () { dialog.close(); };
      dialog.appendChild(el("div", { "class": "inner" }, [
        el("header", {}, [el("h3", {}, item.label + " of " + item.object + ", " + image.name), close]),
        views(item, image, said), said, rankLine(item), depthChart(item), legend()]));
      dialog.addEventListener("close", function () { hideTip(); dialog.remove(); });
      dialog.addEventListener("click", function (event) { if (event.target === dialog) dialog.close(); });
      document.body.appendChild(dialog);
      dialog.showModal();
    }

    /* ---- choosing ---- */
    function kindOf(item) { return item.object + ": " + item.label; }
    var kinds = d3.set(data.items.map(kindOf)).values().sort();
    function chosen() {
      var list = data.items.filter(function (item) { return !view.kind || kindOf(item) === view.kind; });
      if (view.sort === "order") return list;
      var k = kept(state.depth), key = new Map();
      list.forEach(function (item) {
        var a = Math.log2(bestRank(item, view.a, k) || 1), b = Math.log2(bestRank(item, view.b, k) || 1);
        key.set(item, view.sort === "best" ? a : view.sort === "worst" ? -a : view.sort === "gain" ? a - b : b - a);
      });
      return list.slice().sort(function (p, q) { return key.get(p) - key.get(q); });
    }
    function choice(label, options, value, change) {
      var node = el("select", {}, options.map(function (o) { return el("option", { value: o[0] }, o[1]); }));
      node.value = value;
      node.onchange = function () { change(node.value); view.page = 0; draw(); };
      return el("label", {}, [label, node]);
    }
    var names = data.conditions.map(function (c, i) { return [i, c.label]; });
    var pager = el("div", { "class": "pager" }), before = el("button", { type: "button" }, "Previous"), after = el("button", { type: "button" }, "Next"), where = el("span", { "aria-live": "polite" });
    before.onclick = function () { view.page--; draw(); };
    after.onclick = function () { view.page++; draw(); };
    [before, after, where].forEach(function (node) { pager.appendChild(node); });
    var ramp = el("span", { "class": "ramp", role: "img", "aria-label": "from dark, the last rank, to bright, rank 1" });
    ramp.style.background = "linear-gradient(to right," + data.heat.join(",") + ")";
    var ramp2 = el("span", { "class": "ramp", role: "img", "aria-label": "from blue, better, to orange, worse" });
    ramp2.style.background = "linear-gradient(to right," + change.range().join(",") + ")";
    var keys = el("p", { "class": "keys" }, ["rank " + d3.format(",")(data.N), ramp, "1, logarithmic", el("span", {}, "\u2003"), "better", ramp2, "worse than the first"]);
    box.parentNode.insertBefore(el("div", { "class": "choose" }, [
      choice("condition", names, view.a, function (v) { view.a = +v; }),
      choice("compared with", names, view.b, function (v) { view.b = +v; }),
      choice("parts", [["", "all, " + data.items.length]].concat(kinds.map(function (k) { return [k, k]; })), "", function (v) { view.kind = v; }),
      choice("order", [["order", "as in the data"], ["loss", "largest loss"], ["gain", "largest gain"], ["best", "best rank"], ["worst", "worst rank"]], "order", function (v) { view.sort = v; })]), box);
    box.parentNode.insertBefore(keys, box);
    box.parentNode.insertBefore(pager, box.nextSibling);
    function draw() {
      var list = chosen(), last = Math.max(0, Math.ceil(list.length / PAGE) - 1);
      view.page = Math.max(0, Math.min(view.page, last));
      var shown = list.slice(view.page * PAGE, (view.page + 1) * PAGE);
      box.textContent = "";
      shown.forEach(function (item) { box.appendChild(card(item)); });
      before.disabled = view.page === 0;
      after.disabled = view.page === last;
      where.textContent = list.length ? (view.page * PAGE + 1) + " to " + (view.page * PAGE + shown.length) + " of " + list.length : "none";
    }
    return { draw: draw };
  }

  document.querySelectorAll(".study").forEach(study);
})();
