// The one sentence at the top: is somebody attacking, and can we see at all.

import { visible } from './dom.js';
import { ago, plural, whole } from './format.js';

// What happened within this time is going on.
const CURRENT_MS = 15 * 60 * 1000;
// Detection is behind when this many readings in a row had a lag above LAG_EVENTS.
const LAG_READINGS = 5;
const LAG_EVENTS = 1000;

/**
 * Judges the state. Returns `{ level, mark, title, note }`; `level` is `blind`, `attack`, `watch`, `behind`,
 * `waiting` or `quiet`. `isCut`: there may be more alerts than those given.
 * That we cannot see comes before everything that we see.
 */
export function judge({ health, alerts, total, lags, now, isCut }) {
  return (health && judgeHealth(health)) ?? attacked(alerts, now, isCut, behind(lags)) ?? behind(lags) ?? waiting(total, alerts) ?? quiet(alerts, now, health);
}

/** Judges `/health` alone; null when it says that all is well. `http_status` is the status it came with. */
export function judgeHealth(health) {
  const note = [health.last_error, 'What is shown may be old. Look at the log of the server, and at /health.'].filter(Boolean).join(' · ');
  const level = { level: 'blind', mark: '!', note };
  if (health.db_status === 'Disconnected') return { ...level, title: 'Cannot see: store down' };
  if (health.db_status !== 'Connected') return { ...level, title: 'Cannot see: nobody knows whether the store is up' };
  if (health.system_status === 'system_failure') return { ...level, title: 'Cannot see: the system has failed' };
  if (health.http_status === 503) return { ...level, title: 'Cannot see: the health check fails' };
  return null;
}

function attacked(alerts, now, isCut, late) {
  const current = alerts.filter((it) => it.status !== 'closed' && now - Date.parse(it.last_seen) <= CURRENT_MS);
  const of = (severity) => current.filter((it) => it.severity === severity).length;
  const severe = words([['critical', of('critical')], ['high', of('high')]]);
  const shown = severe || words([['medium', of('medium')]]);
  if (!shown) return null;
  const counted = current.filter((it) => (severe ? ['critical', 'high'] : ['medium']).includes(it.severity));
  const demo = counted.every((it) => it.synthetic) ? ' (demo data)' : '';
  const delay = late ? ` ${late.title}.` : '';
  const least = isCut && current.length === alerts.length ? 'at least ' : '';
  const number = `${least}${shown} ${counted.length === 1 ? 'alert' : 'alerts'} in the last 15 minutes`;
  return severe
    ? { level: 'attack', mark: '▲', title: `Under attack${demo}: ${number}`, note: culprits(counted) + delay }
    : { level: 'watch', mark: '◆', title: `Worth a look${demo}: ${number}`, note: culprits(counted) + delay };
}

function words(parts) {
  return parts.filter(([, number]) => 0 < number).map(([word, number]) => `${whole(number)} ${word}`).join(' and ');
}

function culprits(alerts) {
  const entities = new Set(alerts.map((it) => `${it.entity?.kind}:${it.entity?.value}`));
  const titles = [...new Set(alerts.map((it) => visible(it.title, 80)))];
  const rest = 3 < titles.length ? ` and ${plural(titles.length - 3, 'other kind')}` : '';
  return `${titles.slice(0, 3).join(', ')}${rest}. By ${plural(entities.size, 'party', 'parties')}.`;
}

function behind(lags) {
  const last = lags.slice(-LAG_READINGS);
  if (last.length < LAG_READINGS || last.some((it) => it <= LAG_EVENTS)) return null;
  const events = last[last.length - 1];
  return { level: 'behind', mark: '…', title: `Behind: ${plural(events, 'event')} wait for detection`, note: 'They are stored and will be looked at. Until the lag is 0, what happened just now may be missing below.' };
}

function waiting(total, alerts) {
  if (!total || 0 < total.received || 0 < alerts.length) return null;
  return { level: 'waiting', mark: '○', title: 'Waiting for the first event', note: 'Bartizan runs and can see nothing yet.' };
}

function quiet(alerts, now, health) {
  const newest = alerts.map((it) => Date.parse(it.last_seen)).filter(Number.isFinite).reduce((a, b) => Math.max(a, b), 0);
  const last = newest ? `The newest alert was ${ago(new Date(newest), now)}.` : 'There is no alert at all.';
  const pull = health && ['failed', 'retrying'].includes(health.system_status)
    ? ` The last pull from upstream failed${health.last_error ? `: ${health.last_error}` : '.'}` : '';
  return { level: pull ? 'watch' : 'quiet', mark: pull ? '◆' : '✓', title: pull ? 'Quiet, but a pull fails' : 'Quiet', note: `Nothing of medium severity or above in the last 15 minutes. ${last}${pull}` };
}
