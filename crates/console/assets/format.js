// Numbers, times and words as people read them. Times are local; the title of each says it in UTC.

import { element, shape, visible } from './dom.js';

// From worst to least.
export const SEVERITIES = ['critical', 'high', 'medium', 'low', 'informational'];

const WHOLE = new Intl.NumberFormat('en');
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 });
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A count. From ten million on it is rounded, with `whole` in the title where it is shown. */
export function count(value) {
  if (!Number.isFinite(value)) return '–';
  return 1e7 <= Math.abs(value) ? SHORT.format(value) : WHOLE.format(value);
}

export function whole(value) {
  return Number.isFinite(value) ? WHOLE.format(value) : '–';
}

/** Events per second: one digit behind the point below ten. */
export function rate(value) {
  if (!Number.isFinite(value)) return '–';
  return value < 10 ? String(Math.round(value * 10) / 10) : count(Math.round(value));
}

export function plural(number, one, many = `${one}s`) {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

const two = (number) => String(number).padStart(2, '0');

export function clock(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function day(date) {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The time of day for today, else the date with it. */
export function when(date, now) {
  if (day(date) === day(new Date(now))) return clock(date);
  const year = date.getFullYear() === new Date(now).getFullYear() ? '' : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

export function utc(date) {
  return `${date.toISOString().replace('T', ' ').replace('Z', '')} UTC`;
}

/** How long ago, in the largest fitting unit. */
export function ago(date, now) {
  const seconds = Math.max(0, Math.round((now - date.getTime()) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

/** A `time` element; `long` gives the date always, and how long ago it was. */
export function timeOf(value, now, long = false) {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return element('span', {}, visible(value, 40) || '–');
  const text = long ? `${day(date)} ${clock(date)}, ${ago(date, now)}` : when(date, now);
  return element('time', { datetime: date.toISOString(), title: utc(date) }, text);
}

export function severityOf(alert) {
  return SEVERITIES.includes(alert.severity) ? alert.severity : 'informational';
}

/** Bars as many as its rank, and the word: never the colour alone. */
export function severityMark(severity) {
  const rank = SEVERITIES.length - SEVERITIES.indexOf(severity);
  const bars = [1, 2, 3, 4, 5].map((at) => shape('rect', {
    x: (at - 1) * 4, y: 12 - at * 2.4, width: 3, height: at * 2.4, class: at <= rank ? 'bar-on' : 'bar-off',
  }));
  const drawing = shape('svg', { viewBox: '0 0 19 12', width: 19, height: 12, 'aria-hidden': 'true' }, ...bars);
  return element('span', { class: `severity severity-${severity}` }, drawing, element('span', {}, severityWord(severity)));
}

export function severityWord(severity) {
  return severity === 'informational' ? 'Info' : severity[0].toUpperCase() + severity.slice(1);
}

const STATUSES = { new: 'New', acknowledged: 'Acknowledged', in_progress: 'In progress', closed: 'Closed' };

export function statusWord(status) {
  return STATUSES[status] ?? visible(status, 20);
}

/** Whom an alert is about: `IP 192.0.2.1`, `user ann`. */
export function who(alert) {
  const kind = alert.entity?.kind ?? (alert.client_ip ? 'ip' : '');
  const value = alert.entity?.value ?? alert.client_ip ?? '';
  return { kind: kind === 'ip' ? 'IP' : visible(kind, 20), value: visible(value, 300) };
}
