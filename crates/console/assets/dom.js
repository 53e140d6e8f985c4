// Elements and text. Everything that a sender may have written passes through `visible` and becomes a
// text node; nothing in these pages parses markup.

const SVG = 'http://www.w3.org/2000/svg';

// The longest text shown of one field, in characters. What is cut is said; the whole is in the API.
export const TEXT_MAX = 4000;

// Control characters but tab and line feed, and the invisible ones that reorder or hide text.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff]/g;

/** Makes an element. Attributes that are null or undefined are left out; children are nodes or text. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an element of a drawing. */
export function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((it) => it !== null && it !== undefined));
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Writes the text only when it differs, so that nothing is redrawn or read aloud for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute only when it differs. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** A text as it can be shown: unseen characters as escapes, and cut after `max` characters. */
export function visible(value, max = TEXT_MAX) {
  const text = typeof value === 'string' ? value : stringOf(value);
  const rest = max < TEXT_MAX ? '…' : ` … (${text.length - max} more characters)`;
  const cut = text.length <= max ? text : text.slice(0, max) + rest;
  return cut.replace(UNSEEN, (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function stringOf(value) {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** A command with a button that copies it, where the browser allows that. */
export function command(text) {
  const box = element('div', { class: 'command-box' }, element('pre', { class: 'command' }, element('code', {}, text)));
  if (!navigator.clipboard) return box;
  const button = element('button', { type: 'button' }, 'Copy');
  button.addEventListener('click', async () => {
    const done = await navigator.clipboard.writeText(text).then(() => 'Copied', () => 'Not allowed');
    button.textContent = done;
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  box.append(button);
  return box;
}
