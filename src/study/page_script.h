// Style and script of the page that people fill in. The script writes texts with textContent only, keeps all answers in
// the browser's own storage, and talks to nobody but the address that the study names.
#pragma once
#include <string_view>

namespace pixart::study {

inline constexpr std::string_view kStudyStyle = R"css(
body { max-width: 90rem; padding: .5rem 1rem 1.5rem; } h1 { font-size: 1.05rem; margin: 0; font-weight: 600; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem 1rem; border-bottom: 1px solid var(--line); padding: .2rem 0 .5rem; }
header h1 { flex: 1 1 12rem; } .place { display: flex; align-items: center; gap: .6rem; color: var(--soft); font-size: .875rem; }
progress { width: 9rem; height: .6rem; accent-color: var(--s0); }
h2 { margin: .9rem 0 .4rem; font-size: 1.25rem; } h2:focus { outline: none; }
.prompt { font-size: 1.1rem; max-width: 60rem; margin: .2rem 0 .7rem; overflow-wrap: anywhere; border-left: 3px solid var(--s0); padding-left: .8rem; }
.help { max-width: 60rem; margin: .2rem 0 .6rem; } .work { margin: .3rem auto 0; }
.images { display: grid; gap: .8rem; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); }
.images figure { margin: 0; display: flex; flex-direction: column; align-items: center; min-width: 0; }
.pick { position: relative; padding: .25rem; border: 3px solid var(--line); border-radius: .5rem; background: none; cursor: pointer; max-width: 100%; line-height: 0; }
.pick img { display: block; width: auto; height: auto; max-width: 100%; max-height: var(--tall); min-width: min(100%, 8rem); object-fit: contain; border-radius: .25rem; }
.images[data-few] .pick img { height: var(--tall); width: auto; aspect-ratio: auto; }
.pick:hover { border-color: var(--soft); } .pick[aria-pressed=true] { border-color: var(--s0); }
.badge { position: absolute; top: .6rem; left: .6rem; min-width: 2rem; padding: 0 .4rem; line-height: 2rem; border-radius: 1rem; background: var(--s0); color: var(--ground); font-weight: 700; font-size: 1rem; }
.badge:empty { display: none; } figcaption { margin-top: .25rem; display: flex; align-items: center; gap: .6rem; color: var(--soft); font-size: .875rem; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; margin: .9rem 0 .3rem; justify-content: center; } .row.start { justify-content: flex-start; }
button, select, .file { font: inherit; min-height: 2.75rem; padding: .3rem 1rem; border: 1px solid var(--soft); border-radius: .5rem; background: var(--stripe); color: var(--text); cursor: pointer; }
button.small { min-height: 2.75rem; padding: .1rem .7rem; border-color: var(--line); } button.main { background: var(--s0); color: var(--ground); border-color: var(--s0); font-weight: 600; }
button.act[aria-pressed=true] { background: var(--s0); color: var(--ground); } button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 3px solid var(--s1); outline-offset: 2px; } kbd { border: 1px solid var(--soft); border-radius: .25rem; padding: 0 .35rem; font: inherit; font-size: .8125rem; }
.acts { position: sticky; bottom: 0; background: var(--ground); padding: .3rem 0; margin-bottom: 0; } html { scroll-padding: 1rem 0 5rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); } .warn { color: var(--s1); font-weight: 600; }
dialog { border: 0; padding: 0; width: 100vw; height: 100vh; max-width: none; max-height: none; background: var(--ground); color: var(--text); }
dialog[open] { display: flex; flex-direction: column; } dialog .bar { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; padding: .5rem 1rem; }
dialog .hold { flex: 1; overflow: auto; display: flex; min-height: 0; } dialog img { margin: auto; max-width: 100%; max-height: 100%; min-width: min(100%, 70vmin); object-fit: contain; cursor: zoom-in; }
dialog .hold.large img { max-width: none; max-height: none; width: 200%; cursor: zoom-out; } dialog span { flex: 1; }
@media (max-width: 640px) { body { padding: .4rem .6rem 1rem; } header h1 { flex-basis: 100%; } .images { gap: .5rem; } h2 { font-size: 1.1rem; margin: .5rem 0 .2rem; }
  .keys { display: none; } .row { margin: .5rem 0 .2rem; gap: .4rem; } .row button { flex: 1 1 auto; padding: .3rem .5rem; } header { gap: .2rem .6rem; } }
)css";

inline constexpr std::string_view kStudyBody = R"html(<header><h1 id="title"></h1>
<div class="place"><progress id="progress" max="1" value="0" aria-label="Progress"></progress><span id="place"></span></div>
<button type="button" class="small" id="pause" hidden>Pause</button></header>
<main id="main"></main>
<div id="live" class="unseen" aria-live="polite"></div>
<dialog id="zoom" aria-label="Enlarged image"><div class="bar"><span id="zoomed"></span>
<button type="button" class="small" id="zoom-back" aria-label="Image before">&#8592;</button><button type="button" class="small" id="zoom-on" aria-label="Next image">&#8594;</button>
<button type="button" class="small" id="zoom-size">Larger</button><button type="button" class="main" id="zoom-end">Close</button></div>
<div class="hold" id="hold"><img id="zoom-image" alt=""></div></dialog>
<noscript><p class="warn">This page needs JavaScript: please allow it for this page.</p></noscript>
)html";

inline constexpr std::string_view kStudyScript = R"js('use strict';
const $ = id => document.getElementById(id), plan = JSON.parse($('plan').textContent), main = $('main');
const asks = {quality: ['Which image has the better quality?', 'Rank the images by quality, the best first.',
    'Look at the image itself: is it sharp, natural and free of errors? It does not matter what it shows.'],
  alignment: ['Which image fits the text better?', 'Rank the images by how well they fit the text, the best first.',
    'Compare each image with the text: does it show everything that the text says? It does not matter how beautiful it is.']};
const ranks = plan.design === 'ranking';
const retrySeconds = 15, mostLines = 200;
let person = null, state = null, screen = null, base = null, stored = true, sending = false, again = 0;

function el(tag, fields, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(fields || {}))
    if (name in made && !name.startsWith('aria')) made[name] = value; else made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const button = (text, press, fields) => el('button', {type: 'button', textContent: text, onclick: press, ...fields});
const screens = () => plan.people.find(one => one.name === person).screens;
const done = () => Object.keys(state.answers).length;
const place = () => 'pixart-study:' + plan.study + ':' + person;

function load() {
  state = {answers: {}, sent: {}, seq: 0};
  try {
    const text = localStorage.getItem(place());
    if (text) state = JSON.parse(text);
  } catch (error) { stored = false; }
}
function keep() {
  try { localStorage.setItem(place(), JSON.stringify(state)); } catch (error) { stored = false; }
}
// A page without storage would lose the answers.
addEventListener('beforeunload', event => { if (!stored && state && done()) event.preventDefault(); });
addEventListener('storage', event => {
  if (person && event.key === place()) { load(); paused('This study was continued in another tab.'); }
});

// --- sending and saving
const line = trial => JSON.stringify({study: plan.study, person, trial: Number(trial), ...state.answers[trial]});
const unsent = () => Object.keys(state.answers).filter(trial => state.sent[trial] !== state.answers[trial].seq);
const target = () => base === null ? plan.post : base + 'answers';
async function send() {
  clearTimeout(again);
  again = 0;
  if (!target() || sending || !unsent().length) return;
  sending = true;
  const trials = unsent().slice(0, mostLines), sent = trials.map(trial => state.answers[trial].seq);
  try {
    const answer = await fetch(target(), {method: 'POST', body: trials.map(line).join('\n') + '\n', credentials: 'omit',
      cache: 'no-store', referrerPolicy: 'no-referrer', headers: {'Content-Type': 'text/plain'}});
    if (!answer.ok) throw new Error(answer.status);
    trials.forEach((trial, i) => { state.sent[trial] = sent[i]; });
    keep();
  } catch (error) { again = setTimeout(send, retrySeconds * 1000); }
  sending = false;
  status();
  if (!again && unsent().length) send();
}
function status() {
  const box = $('status');
  if (!box) return;
  const left = target() ? unsent().length : 0;
  box.textContent = !target() ? '' : left ? left + ' answers wait to be sent; the page tries again by itself.' : 'All answers were sent.';
  box.className = left ? 'warn' : '';
}
function save() {
  const text = Object.keys(state.answers).map(line).join('\n') + '\n';
  const link = el('a', {href: URL.createObjectURL(new Blob([text], {type: 'application/jsonl'})),
    download: 'answers-' + plan.study + '-' + person + '.jsonl'});
  document.body.append(link);
  link.click();
  link.remove();
}

// --- pages
function show(...children) {
  screen = null;
  main.replaceChildren(...children.filter(child => child));
  const total = person ? screens().length : 1;
  $('progress').max = total;
  $('progress').value = state ? done() : 0;
  $('place').textContent = state ? done() + ' of ' + total : '';
  $('pause').hidden = true;
  scrollTo(0, 0);
}
function heading(text) { return el('h2', {tabIndex: -1, textContent: text}); }
function focusHeading() { main.querySelector('h2').focus({preventScroll: true}); }
const warning = () => stored ? null : el('p', {className: 'warn', textContent: 'This browser keeps no data for this page: do not close or reload it before the end.'});

function choosePerson(name) {
  person = name;
  if (base === null) location.hash = name;  // a reload knows the person
  load();
  start();
}
function start() {
  const rows = [heading(plan.title), el('p', {className: 'help', textContent: plan.consent})];
  if (!person) {
    const list = el('select', {id: 'who'}, el('option', {value: '', textContent: 'choose'}),
      ...plan.people.map(one => el('option', {value: one.name, textContent: one.name})));
    list.onchange = () => { if (list.value) choosePerson(list.value); };
    rows.push(el('p', {}, el('label', {htmlFor: 'who', textContent: 'Your number, which you were told: '}), list));
    return show(...rows);
  }
  const begun = done() > 0;
  rows.push(el('p', {textContent: begun ? 'Welcome back, ' + person + ': ' + done() + ' of ' + screens().length + ' screens are answered.'
    : 'You are ' + person + '. There are ' + screens().length + ' screens.'}), warning());
  if (begun && done() === screens().length) return finish();
  rows.push(el('div', {className: 'row start'}, button(begun ? 'Continue' : 'I agree, start', next, {className: 'main', id: 'start'})));
  show(...rows);
  $('start').focus();
}
function paused(text) {
  show(heading('Pause'), el('p', {textContent: text || 'Your answers are kept. You may close this page and open it again later.'}), warning(),
    el('p', {id: 'status'}), el('div', {className: 'row start'}, button('Continue', next, {className: 'main', id: 'start'}),
      done() ? button('Save my answers so far as a file', save) : ''));
  status();
  $('start').focus();
}
function finish() {
  const sends = Boolean(target());
  show(heading('Thank you'), el('p', {textContent: 'All ' + screens().length + ' screens are answered.'}), el('p', {id: 'status'}),
    sends ? null : el('p', {textContent: 'Save your answers as a file, and give it to the people who asked you.'}),
    el('div', {className: 'row start'}, button('Save my answers as a file', save, {className: sends ? '' : 'main', id: 'save'}),
      button('Back to the last screen', () => ask(screens().length - 1))));
  status();
  send();
  focusHeading();
}
function next() {
  const first = screens().findIndex((one, i) => !state.answers[i]);
  if (first < 0) return finish();
  const begins = first === 0 || screens()[first - 1].question !== screens()[first].question;
  if (!begins) return ask(first);
  const question = screens()[first].question;
  show(heading(plan.questions.length > 1 ? 'Part ' + (plan.questions.indexOf(question) + 1) + ' of ' + plan.questions.length : 'The question'),
    el('p', {className: 'help', textContent: asks[question][ranks ? 1 : 0] + ' ' + asks[question][2]}),
    el('p', {className: 'help keys'}, ...(ranks
      ? ['Keys: ', el('kbd', {textContent: '1'}), ' ', el('kbd', {textContent: '2'}), ' ... ranks an image next, ', el('kbd', {textContent: 'T'}), ' makes the next one equal to the last, ',
        el('kbd', {textContent: 'U'}), ' undoes, ', el('kbd', {textContent: 'Enter'}), ' goes on']
      : ['Keys: ', el('kbd', {textContent: '1'}), ' or ', el('kbd', {textContent: '←'}), ', ', el('kbd', {textContent: '2'}), ' or ', el('kbd', {textContent: '→'}), ', ',
        el('kbd', {textContent: 'T'}), ' equally good']),
      ', ', el('kbd', {textContent: 'C'}), ' cannot tell, ', el('kbd', {textContent: 'B'}), ' back, ', el('kbd', {textContent: 'Z'}), ' enlarges, ', el('kbd', {textContent: 'P'}), ' pause.'),
    el('div', {className: 'row start'}, button('Go on', () => ask(first), {className: 'main', id: 'start'})));
  $('start').focus();
}

// --- one screen; order: groups of positions, the best first
const address = number => 'images/' + plan.images[number];
function ask(number) {
  const own = screens()[number], known = state.answers[number];
  const word = asks[own.question][ranks ? 1 : 0];
  const box = el('div', {className: 'images'});
  const few = own.images.length === 2;
  show(heading(word), own.prompt === undefined ? null : el('p', {className: 'prompt', textContent: own.prompt}), box, el('div', {className: 'row acts'}));
  screen = {number, own, order: known && known.order ? known.order.map(group => [...group]) : [], equal: false, since: 0, spent: 0, picks: []};
  const narrow = matchMedia('(max-width: 640px)').matches, columns = few ? (narrow ? 1 : 2) : narrow ? 2 : Math.ceil(own.images.length / (own.images.length > 3 ? 2 : 1));
  box.style.setProperty('--columns', columns);
  const rows = Math.ceil(own.images.length / columns);
  box.style.setProperty('--tall', (narrow ? (few ? 30 : 24) : Math.floor((rows > 1 ? 54 : 64) / rows)) + 'vh');
  if (few) box.setAttribute('data-few', '');
  own.images.forEach((image, i) => {
    const shown = el('img', {src: address(image), alt: 'Image ' + (i + 1) + ' of ' + own.images.length, draggable: false});
    const pick = el('button', {type: 'button', className: 'pick', 'aria-pressed': 'false', onclick: () => choose(i)}, shown, el('span', {className: 'badge'}));
    screen.picks.push(pick);
    box.append(el('figure', {}, pick, el('figcaption', {}, 'Image ' + (i + 1), button('Zoom', () => zoom(i), {className: 'small', 'aria-label': 'Enlarge image ' + (i + 1)}))));
  });
  controls();
  $('place').textContent = 'Screen ' + (number + 1) + ' of ' + screens().length;
  $('pause').hidden = false;
  marks();
  focusHeading();
  $('live').textContent = 'Screen ' + (number + 1) + ' of ' + screens().length + '. ' + word;
  const mine = screen;
  Promise.allSettled([...box.querySelectorAll('img')].map(image => image.decode())).then(all => {
    if (screen !== mine) return;
    if (all.some(one => one.status === 'rejected')) box.after(el('p', {className: 'warn', textContent: 'An image of this screen cannot be shown. Choose Cannot tell, and tell the people who asked you.'}));
    if (!document.hidden) screen.since = performance.now();
  });
  for (const image of (screens()[number + 1] || {images: []}).images) new Image().src = address(image);
}
function controls() {
  const row = main.querySelector('.row');
  row.append(button(ranks ? 'Next one is equal' : 'Equally good', equal, {className: 'act', id: 'equal', 'aria-pressed': 'false'}), button('Cannot tell', () => answer(null), {className: 'act', id: 'cannot'}));
  if (ranks) row.append(button('Undo', undo), button('Next', confirm, {className: 'main', id: 'next'}));
  row.append(button('Back', back, {id: 'back', disabled: screen.number === 0}));
}
function marks() {
  const before = group => screen.order.slice(0, group).reduce((sum, one) => sum + one.length, 0) + 1;
  screen.picks.forEach((pick, i) => {
    const group = screen.order.findIndex(one => one.includes(i));
    const shared = group >= 0 && screen.order[group].length > 1, text = group < 0 ? '' : (shared ? '=' : '') + before(group);
    pick.setAttribute('aria-pressed', group >= 0 && (ranks || group === 0));
    pick.querySelector('.badge').textContent = text;
    pick.setAttribute('aria-label', 'Image ' + (i + 1) + ' of ' + screen.picks.length + (text ? ', rank ' + text : ''));
  });
  $('equal').setAttribute('aria-pressed', screen.equal);
  if (ranks) { $('equal').disabled = !screen.order.length; $('next').disabled = screen.order.flat().length < screen.picks.length; }
}
function choose(i) {
  if (!ranks) return answer([[i], [1 - i]]);
  const group = screen.order.findIndex(one => one.includes(i));
  if (group >= 0) screen.order = screen.order.map(one => one.filter(other => other !== i)).filter(one => one.length);
  else if (screen.equal && screen.order.length) screen.order[screen.order.length - 1].push(i);
  else screen.order.push([i]);
  screen.equal = false;
  $('live').textContent = 'Image ' + (i + 1) + (group >= 0 ? ' is without a rank' : ' is ranked');
  marks();
}
function equal() {
  if (!ranks) return answer([[0, 1]]);
  if (screen.order.length) screen.equal = !screen.equal;
  marks();
}
function undo() {
  const last = screen.order[screen.order.length - 1];
  if (!last) return;
  last.pop();
  if (!last.length) screen.order.pop();
  marks();
}
function confirm() { if (screen.order.flat().length === screen.picks.length) answer(screen.order); }
function back() { if (screen && screen.number > 0) ask(screen.number - 1); }
function spent() { return Math.round(screen.spent + (screen.since ? performance.now() - screen.since : 0)); }
function answer(order) {
  const number = screen.number;
  state.seq += 1;
  state.answers[number] = {...(order ? {order} : {cannot_tell: true}), ms: spent(), seq: state.seq};
  keep();
  send();
  const following = number + 1;
  if (following < screens().length && state.answers[following]) ask(following); else next();
}
document.addEventListener('visibilitychange', () => {
  if (!screen) return;
  if (document.hidden) { screen.spent = spent(); screen.since = 0; } else screen.since = performance.now();
});

// --- enlarged images: the arrows change between the images of the screen at one place
let seen = 0;
function zoom(i) {
  if (!screen) return;
  seen = (i + screen.own.images.length) % screen.own.images.length;
  $('zoom-image').src = address(screen.own.images[seen]);
  $('zoom-image').alt = $('zoomed').textContent = 'Image ' + (seen + 1) + ' of ' + screen.own.images.length;
  if (!$('zoom').open) $('zoom').showModal();
}
function size() { $('zoom-size').textContent = $('hold').classList.toggle('large') ? 'Whole image' : 'Larger'; }
$('zoom-back').onclick = () => zoom(seen - 1);
$('zoom-on').onclick = () => zoom(seen + 1);
$('zoom-end').onclick = () => $('zoom').close();
$('zoom-size').onclick = size;
$('zoom-image').onclick = size;
$('pause').onclick = () => paused();

addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !screen || event.repeat) return;
  const key = event.key.toLowerCase();
  if ($('zoom').open) {
    if (key === 'arrowleft') zoom(seen - 1); else if (key === 'arrowright') zoom(seen + 1);
    return;
  }
  const digit = key === '0' ? 9 : '123456789'.indexOf(key), on = document.activeElement;
  const acts = {t: equal, c: () => answer(null), b: back, backspace: back, z: () => zoom(0), p: () => paused(), u: undo};
  if (key.length === 1 && digit >= 0 && digit < screen.picks.length) choose(digit);
  else if (!ranks && key === 'arrowleft') choose(0);
  else if (!ranks && key === 'arrowright') choose(1);
  else if (ranks && (key === 'n' || (key === 'enter' && (!on || on.tagName !== 'BUTTON')))) confirm();
  else if (acts[key]) acts[key]();
  else return;
  event.preventDefault();
});

async function begin() {
  $('title').textContent = plan.title;
  document.title = plan.title;
  if (location.protocol.startsWith('http')) {
    try {
      const answer = await fetch('session', {cache: 'no-store', credentials: 'omit'});
      if (answer.ok) {
        const session = await answer.json();
        base = '';
        person = session.person;
        load();
        for (const one of session.answers) if (!state.answers[one.trial]) {
          state.answers[one.trial] = one.answer;
          state.sent[one.trial] = one.answer.seq;
          state.seq = Math.max(state.seq, one.answer.seq);
        }
        keep();
        send();
        return start();
      }
    } catch (error) { base = null; }
  }
  const asked = decodeURIComponent(location.hash.slice(1));
  if (plan.people.some(one => one.name === asked)) return choosePerson(asked);
  start();
}
begin();
)js";

}  // namespace pixart::study
