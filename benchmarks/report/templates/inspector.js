const episode = JSON.parse(document.getElementById("episode").textContent);
const find = (id) => document.getElementById(id);
const slider = find("slider");
const last = episode.steps;
let step = 0;
let timer = null;

const make = (tag, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
};
const html = (tag, parent, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
};
const percent = (share) => (100 * share).toFixed(1) + " %";
const thought = () => episode.thoughts[Math.min(step, last - 1)] || {};

// Attention of a step by the step attended to: of recent tokens, and of slots, a slot's share spread over its tokens.
function attention(at, layer) {
  const recent = new Float64Array(last), slots = new Float64Array(last), items = [];
  const readings = (episode.thoughts[at] || {}).a || [];
  const chosen = layer < 0 ? readings.map((_, index) => index) : [layer];
  for (const index of chosen) {
    const { rate, stride } = episode.layers[index], share = 1 / (1000 * chosen.length);
    readings[index].r.forEach((weight, distance) => {
      recent[at - distance] += weight * share;
    });
    for (const [first, weight] of readings[index].s) {
      const tokens = Array.from({ length: rate }, (_, number) => first + number * stride).filter((token) => token < last);
      for (const token of tokens) slots[token] += (weight * share) / tokens.length;
      items.push({ from: first, to: tokens[tokens.length - 1], weight: weight * share, slot: true });
    }
  }
  recent.forEach((weight, token) => {
    if (weight > 0) items.push({ from: token, to: token, weight, slot: false });
  });
  return { recent, slots, items };
}

function layer() {
  const select = find("layer");
  return select ? Number(select.value) : episode.layers.length > 1 ? -1 : 0;
}

function drawChoices() {
  const box = find("choices");
  if (!box) return;
  box.replaceChildren();
  const parts = thought().p || [];
  parts.forEach((chances, part) => {
    const action = episode.actions[Math.min(step, last - 1)];
    const taken = (Array.isArray(action) ? action[part] : action) - (episode.firstAction[part] || 0);
    chances.forEach((chance, index) => {
      const number = index + (episode.firstAction[part] || 0);
      const name = (parts.length > 1 ? "part " + part + ": " : "") + number + (index === taken ? " (taken)" : "");
      html("span", box, name, index === taken ? "chosen" : "");
      const fill = html("div", html("div", box, undefined, "track"), undefined, "fill");
      fill.style.width = 100 * chance + "%";
      html("span", box, percent(chance));
    });
  });
}

function drawNumbers() {
  const box = find("numbers");
  if (!box) return;
  box.replaceChildren();
  const { mean, std } = thought();
  if (!mean) return;
  const action = [episode.actions[Math.min(step, last - 1)]].flat(Infinity);
  mean.forEach((value, index) => {
    html("p", box, `part ${index}: mean ${value.toFixed(3)}, standard deviation ${std[index].toFixed(3)}, taken ${Number(action[index]).toFixed(3)}`, "quiet");
  });
}

function cursor(svg, height) {
  svg.querySelectorAll(".cursor").forEach((old) => old.remove());
  make("line", { class: "cursor", x1: step + 0.5, x2: step + 0.5, y1: 0, y2: height, stroke: "var(--ink)", "stroke-width": 1.5 }, svg);
}

function prepareValue() {
  const svg = find("value");
  const values = episode.thoughts.map((one) => one.v).filter((value) => value !== undefined);
  const all = [0, ...values, ...episode.rewards];
  const low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
  const y = (value) => 95 - (90 * (value - low)) / span;
  svg.setAttribute("viewBox", `0 0 ${last + 1} 100`);
  make("line", { x1: 0, x2: last + 1, y1: y(0), y2: y(0), stroke: "var(--rule)" }, svg);
  episode.rewards.forEach((reward, at) => {
    if (reward) make("line", { x1: at + 0.5, x2: at + 0.5, y1: y(0), y2: y(reward), stroke: "var(--series-2)", "stroke-width": 3 }, svg);
  });
  if (values.length) {
    const path = values.map((value, at) => `${at ? "L" : "M"}${at + 0.5} ${y(value)}`).join("");
    make("path", { d: path, stroke: "var(--series-0)", "stroke-width": 1.6 }, svg);
  }
}

function drawAttention() {
  const svg = find("attention");
  if (!svg) return;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${last + 1} 100`);
  const at = Math.min(step, last - 1);
  const { recent, slots, items } = attention(at, layer());
  make("rect", { x: at + 1, y: 0, width: last - at, height: 100, fill: "var(--rule)", opacity: 0.5 }, svg);
  const most = Math.max(...recent.map((weight, token) => weight + slots[token])) || 1;
  for (let token = 0; token <= at; token++) {
    const below = (100 * slots[token]) / most, above = (100 * recent[token]) / most;
    if (below > 0.05) make("rect", { x: token, y: 100 - below, width: 1, height: below, fill: "var(--series-1)" }, svg);
    if (above > 0.05) make("rect", { x: token, y: 100 - below - above, width: 1, height: above, fill: "var(--series-0)" }, svg);
  }
  for (const token of episode.important) {
    if (token <= at) make("rect", { x: token, y: 0, width: 1, height: 6, fill: "var(--series-2)" }, svg);
  }
  cursor(svg, 100);
  const toSlots = slots.reduce((sum, weight) => sum + weight, 0);
  find("attention-now").textContent = `highest ${percent(most)} a step; ${percent(toSlots)} to slots`;
  const top = find("top");
  top.replaceChildren();
  items.sort((one, other) => other.weight - one.weight);
  for (const item of items.slice(0, 4)) {
    const button = html("button", html("li", top));
    button.type = "button";
    if (episode.pictures.length) {
      const image = html("img", button);
      image.src = episode.pictures[episode.shown[item.from]];
      image.alt = "";
    }
    const when = item.from === item.to ? `step ${item.from}` : `steps ${item.from}–${item.to}`;
    html("span", button, `${when}${item.slot ? ", slot" : ""}: ${percent(item.weight)}`);
    button.addEventListener("click", () => go(item.from));
  }
}

function drawMap() {
  const canvas = find("map");
  if (!canvas) return;
  canvas.width = Math.min(last, 1600);
  canvas.height = Math.min(last, 800);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const colors = ["--series-0", "--series-1"].map((name) => style.getPropertyValue(name).trim());
  const wide = canvas.width / last, high = canvas.height / last;
  for (let at = 0; at < last; at++) {
    const seen = attention(at, layer());
    [seen.recent, seen.slots].forEach((weights, kind) => {
      context.fillStyle = colors[kind];
      for (let token = 0; token <= at; token++) {
        if (weights[token] < 0.002) continue;
        // Slots spread over several steps would be too faint otherwise.
        context.globalAlpha = Math.min(1, Math.sqrt(weights[token]) * 1.15);
        context.fillRect(at * wide, canvas.height - (token + 1) * high, Math.max(wide, 1), Math.max(high, 1));
      }
    });
  }
}

function drawJudger() {
  const svg = find("judger");
  if (!svg) return;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${last + 1} 10`);
  for (const block of episode.blocks) {
    if (block.step > step) break;
    const color = !block.judged ? "--muted" : block.keep ? "--good" : "--bad";
    make("rect", { x: block.first, y: block.keep ? 1 : 5.5, width: block.last - block.first + 0.8, height: 3.5, fill: `var(${color})` }, svg);
  }
  cursor(svg, 10);
  const block = episode.blocks.find((one) => one.step === step);
  const gone = episode.blocks.filter((one) => one.step <= step && one.judged);
  const kept = gone.filter((one) => one.keep).length;
  const sofar = gone.length ? ` Up to now ${kept} of ${gone.length} judged blocks were kept.` : "";
  find("decision").textContent = !block
    ? "No block leaves the recent memory at this step." + sofar
    : `Steps ${block.first}–${block.last} leave: ${block.keep ? "kept" : "discarded"}` +
      (block.judged ? `, which had a probability of ${percent(block.chance)}.` : ", as long as the slots are not full.") + sofar;
}

function draw() {
  slider.value = step;
  const over = step >= last;
  const gained = episode.rewards.slice(0, step).reduce((sum, reward) => sum + reward, 0);
  find("now").textContent = (over ? `end, after ${last} steps` : `step ${step} of ${last}`) + `, return so far ${Number(gained.toFixed(3))}`;
  slider.setAttribute("aria-valuetext", find("now").textContent);
  const frame = find("frame");
  if (frame) {
    frame.src = episode.pictures[episode.shown[step]];
    frame.alt = over ? "the environment at the end" : `the environment at step ${step}`;
  }
  drawChoices();
  drawNumbers();
  cursor(find("value"), 100);
  const { v } = thought();
  const reward = over ? "" : `reward ${Number(episode.rewards[step].toFixed(3))}`;
  find("value-now").textContent = [v === undefined || over ? "" : `value ${v.toFixed(3)}`, reward].filter(Boolean).join(", ");
  drawAttention();
  drawJudger();
  const here = find("map-cursor");
  if (here) here.style.left = (100 * Math.min(step + 0.5, last)) / last + "%";
}

function go(to) {
  step = Math.max(0, Math.min(last, to));
  draw();
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => (step < last ? go(step + 1) : play(false)), 250) : null;
  find("play").textContent = on ? "Pause" : "Play";
  find("play").setAttribute("aria-pressed", String(Boolean(on)));
  if (on && step >= last) go(0);
}

slider.addEventListener("input", () => go(Number(slider.value)));
find("back").addEventListener("click", () => go(step - 1));
find("forth").addEventListener("click", () => go(step + 1));
find("play").addEventListener("click", () => play(!timer));
if (find("layer")) find("layer").addEventListener("change", () => { drawAttention(); drawMap(); });
document.addEventListener("keydown", (event) => {
  // The slider and the list of layers know what to do with these keys themselves.
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
  const to = { ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: last }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    go(to);
  } else if (event.key === " " && !event.target.matches("button")) {
    event.preventDefault();
    play(!timer);
  }
});
for (const panel of [...document.querySelectorAll(".jump"), find("map")].filter(Boolean)) {
  panel.addEventListener("click", (event) => {
    const box = panel.getBoundingClientRect();
    const columns = panel.id === "map" ? last : last + 1;
    go(Math.floor(((event.clientX - box.left) / box.width) * columns));
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
prepareValue();
draw();
drawMap();
