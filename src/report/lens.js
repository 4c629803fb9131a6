"use strict";
/* The page of one photograph: a slider over depths recolours the patches. */
(function () {
  var data = JSON.parse(document.getElementById("data").textContent), bytes = atob(data.r);
  var log2N = Math.log2(Math.max(2, data.N)), state = data.states.length - 1;
  document.body.className = "live";
  function rank(c, d, l, i) {
    var at = 4 * (((c * data.states.length + d) * data.labels + l) * data.patches + i);
    return (bytes.charCodeAt(at) + 256 * bytes.charCodeAt(at + 1) + 65536 * bytes.charCodeAt(at + 2) + 16777216 * bytes.charCodeAt(at + 3)) / 2;
  }
  function heat(share) {
    var last = data.heat.length - 1, at = Math.max(0, Math.min(1, share)) * last, i = Math.min(last - 1, Math.floor(at));
    var mix = [16, 8, 0].map(function (shift) {
      var low = data.heat[i] >> shift & 255, high = data.heat[i + 1] >> shift & 255;
      return Math.round(low + (at - i) * (high - low));
    });
    return "rgb(" + mix.join(",") + ")";
  }
  function text(r) { return String(+r.toPrecision(6)); }
  var slider = document.createElement("input"), output = document.createElement("output"), bar = document.createElement("div"), label = document.createElement("label"), said = document.createElement("span");
  slider.type = "range";
  slider.min = 0;
  slider.max = state;
  slider.value = state;
  slider.setAttribute("aria-label", data.name);
  label.textContent = data.name;
  bar.className = "bar";
  said.setAttribute("role", "status");
  var box = document.createElement("div");
  box.className = "slide";
  [label, slider, output].forEach(function (node) { box.appendChild(node); });
  bar.appendChild(box);
  bar.appendChild(said);
  document.querySelector(".study").appendChild(bar);
  function draw() {
    output.textContent = data.states[state];
    document.querySelectorAll("[data-k=patch]").forEach(function (node) {
      var r = rank(+node.dataset.c, state, +node.dataset.l, +node.dataset.i);
      node.style.fill = r > 0 ? heat(1 - Math.log2(r) / log2N) : "none";
      node.dataset.rank = text(r);
      node.querySelector("title").textContent = "rank " + text(r);
    });
    document.querySelectorAll("[data-k=best]").forEach(function (node) {
      var best = Infinity;
      for (var i = 0; i < data.patches; i++) {
        var r = rank(+node.dataset.c, state, +node.dataset.l, i);
        if ((!data.part || data.part[i]) && r > 0) best = Math.min(best, r);
      }
      node.dataset.v = text(best);
      node.textContent = data.name + " " + data.states[state] + ": best rank " + text(best) + " of " + data.N;
    });
  }
  slider.oninput = function () { state = +slider.value; draw(); };
  document.addEventListener("mouseover", function (event) {
    if (event.target.dataset && event.target.dataset.k === "patch") said.textContent = "rank " + event.target.dataset.rank + " at this patch";
  });
  draw();
})();
