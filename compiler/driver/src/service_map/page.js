'use strict';
// Rows of the table are what is searched; lines and boxes follow them. What is shown is
// in the address behind `#`, so that it can be passed on.
const one = (selector) => document.querySelector(selector);
const every = (selector) => [...document.querySelectorAll(selector)];
const search = one('#search'), port = one('#port'), boxes = every('[name=verdict]');
const map = one('#map'), rows = every('tbody tr'), edges = every('.edge'), nodes = every('.node');
const home = map.getAttribute('viewBox').split(' ').map(Number);
const nameOf = Object.fromEntries(nodes.map(({ dataset }) => [dataset.node, dataset.name]));
let view = home.slice(), chosen = null;

const count = (row, verdict) => Number(row.querySelector('.' + verdict).textContent);

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = port.value.toLowerCase().trim();
  const verdicts = boxes.filter((box) => box.checked).map((box) => box.value);
  const lines = new Set();
  for (const row of rows) {
    const edge = edges[row.dataset.edge].dataset;
    const fits = words.every((word) => row.dataset.words.includes(word))
      && (!wanted || row.dataset.port === wanted || row.dataset.port.split('/').includes(wanted))
      && verdicts.some((verdict) => count(row, verdict))
      && (chosen === null || nameOf[edge.from] === chosen || nameOf[edge.to] === chosen);
    row.hidden = !fits;
    if (fits) lines.add(row.dataset.edge);
  }
  for (const { value } of boxes) {
    const counts = rows.filter((row) => !row.hidden).map((row) => count(row, value));
    one('tfoot .' + value).textContent = counts.reduce((sum, more) => sum + more, 0);
  }
  const met = new Set();
  for (const edge of edges) {
    const fits = lines.has(edge.dataset.edge);
    edge.classList.toggle('off', !fits);
    edge.classList.toggle('near', fits && lines.size < 25);
    if (fits) met.add(edge.dataset.from).add(edge.dataset.to);
  }
  const names = new Set();
  for (const node of nodes) {
    const fits = met.has(node.dataset.node);
    node.classList.toggle('off', !fits);
    node.classList.toggle('chosen', node.dataset.name === chosen);
    if (fits) names.add(node.dataset.name);
  }
  const all = new Set(nodes.map((node) => node.dataset.name)).size;
  one('#count').value = `${names.size} of ${all} names, ${lines.size} of ${edges.length} connections`;
}

function remember() {
  const state = new URLSearchParams();
  if (search.value) state.set('search', search.value);
  if (port.value) state.set('port', port.value);
  const checked = boxes.filter((box) => box.checked);
  if (checked.length < boxes.length) state.set('verdict', checked.map((box) => box.value).join(','));
  if (chosen !== null) state.set('node', chosen);
  try { history.replaceState(null, '', '#' + state); } catch { /* Some viewers forbid it. */ }
}

function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  search.value = state.get('search') ?? '';
  port.value = state.get('port') ?? '';
  const verdicts = state.get('verdict')?.split(',');
  for (const box of boxes) box.checked = !verdicts || verdicts.includes(box.value);
  const name = state.get('node');
  chosen = Object.values(nameOf).includes(name) ? name : null;
  show();
}

function change() { show(); remember(); }
function choose(name) { chosen = chosen === name ? null : name; change(); }
function look() { map.setAttribute('viewBox', view.join(' ')); }
function zoom(by, x = 0.5, y = 0.5) {
  const [left, top, width, height] = view;
  if (width / by > home[2] * 4 || width / by < 100) return;
  view = [left + width * x * (1 - 1 / by), top + height * y * (1 - 1 / by), width / by, height / by];
  look();
}

one('#filter').addEventListener('input', change);
one('#filter').addEventListener('submit', (event) => event.preventDefault());
one('#in').addEventListener('click', () => zoom(1.25));
one('#out').addEventListener('click', () => zoom(0.8));
one('#all').addEventListener('click', () => {
  history.replaceState(null, '', '#'); view = home.slice(); look(); recall();
});
addEventListener('hashchange', recall);
for (const node of nodes) {
  node.addEventListener('click', () => { if (!moved) choose(node.dataset.name); });
  node.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(node.dataset.name); });
}
map.addEventListener('wheel', (event) => {
  event.preventDefault();
  const frame = map.getBoundingClientRect();
  zoom(event.deltaY < 0 ? 1.15 : 0.87, (event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height);
}, { passive: false });
let from = null, moved = false;
map.addEventListener('pointerdown', (event) => { from = [event.clientX, event.clientY, ...view]; moved = false; });
addEventListener('pointermove', (event) => {
  if (!from) return;
  const frame = map.getBoundingClientRect();
  const scale = Math.max(view[2] / frame.width, view[3] / frame.height);
  const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
  moved ||= Math.abs(x) + Math.abs(y) > 4;
  view = [from[2] - x * scale, from[3] - y * scale, view[2], view[3]];
  map.classList.toggle('dragged', moved);
  look();
});
addEventListener('pointerup', () => { from = null; map.classList.remove('dragged'); });
recall();
