// The table of decisions that are open: in force, held by a brake, or in dry run, each with the command that changes it.

import { byId, element, setText, visible } from './dom.js';
import { plural, timeOf } from './format.js';

// How a state is said, and what the command beside it does.
const STATES = {
  held: { words: 'held', command: (id) => `bartizan decisions release ${id}` },
  in_force: { words: 'in force', command: (id) => `bartizan decisions remove --id ${id}` },
  dry_run: { words: 'dry run', command: (id) => `bartizan decisions explain ${id}` },
};
// What waits for a person comes first.
const ORDER = Object.keys(STATES);

let shown = '';

/**
 * Shows pages of `/v1/decisions`, which may overlap, and what `/v1/decisions/switches` says; `now` is the time of the server.
 * What is held is read by itself: it waits for a person, however many newer ones there are.
 */
export function showDecisions(pages, switches, now) {
  const all = new Map(pages.flatMap((it) => it.items ?? []).map((it) => [it.id, it]));
  const items = [...all.values()].filter((it) => Object.hasOwn(STATES, it.state));
  setText(byId('decisions-mode'), modeOf(switches));
  byId('decisions-block').hidden = items.length === 0 && switches.paused === null;
  const state = JSON.stringify(items.map((it) => [it.id, it.state, it.expires_at]));
  if (state === shown) return;
  shown = state;
  const sorted = [...items].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || b.id - a.id);
  byId('decisions').replaceChildren(...sorted.map((it) => row(it, now)));
  const more = pages.every((it) => (it.next ?? null) === null) ? '' : ' There are more: bartizan decisions list';
  setText(byId('decisions-note'), `${plural(items.length, 'decision')} shown.${more}`);
}

function modeOf(switches) {
  if (typeof switches.paused === 'string') return `Paused by ${visible(switches.paused, 200)}. Go on: bartizan decisions resume`;
  return switches.mode === 'live' ? 'Live: rules block.' : 'Dry run: rules block nobody. Go live: bartizan decisions live';
}

function row(decision, now) {
  const { words, command } = STATES[decision.state];
  const why = [element('span', { class: 'title' }, visible(decision.reason, 300))];
  if (decision.brake) why.push(element('p', { class: 'sub' }, `Held: ${visible(decision.brake.reason, 300)}.`));
  why.push(element('p', { class: 'sub' }, element('code', {}, command(Number(decision.id)))));
  const demo = decision.synthetic ? element('span', { class: 'badge' }, 'demo') : null;
  return element('tr', { 'data-state': decision.state },
    element('td', { class: 'c-state' }, words, demo),
    element('td', { class: 'c-target' }, element('span', { class: 'value' }, visible(decision.value, 200)),
      element('p', { class: 'sub' }, `${visible(decision.type, 20)} by ${visible(decision.origin, 20)}`)),
    element('td', { class: 'c-time' }, timeOf(decision.expires_at, now)),
    element('td', {}, ...why));
}
