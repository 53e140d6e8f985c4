// The API page: reads /openapi.json and shows it. It fetches nothing else.

import { read, wireLogout } from './api.js';
import { byId, element, setText, visible } from './dom.js';
import { plural } from './format.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options', 'trace'];
// How deep schemas are unfolded; below it the type is named only.
const DEPTH_MAX = 6;

const place = byId('operations');
let described = {};

wireLogout(byId('logout'));
byId('filter').addEventListener('input', filter);
load();

async function load() {
  try {
    described = (await read('/openapi.json')).body;
  } catch (error) {
    setText(byId('docs-count'), `openapi.json could not be read: ${visible(error.message, 300)} Reload the page to try again.`);
    return;
  }
  setText(byId('docs-title'), visible(described.info?.title ?? 'API', 200));
  setText(byId('docs-version'), described.info?.version ? `version ${visible(described.info.version, 40)}` : '');
  byId('docs-description').append(...prose(described.info?.description));
  place.replaceChildren(...groups().map(([name, operations]) => group(name, operations)));
  filter();
  openFromAddress();
}

// The operations by their first tag, in the order of the document.
function groups() {
  const found = new Map((described.tags ?? []).map((it) => [it.name, []]));
  for (const [path, item] of Object.entries(described.paths ?? {})) {
    for (const method of METHODS.filter((it) => item[it])) {
      const operation = item[method];
      const tag = operation.tags?.[0] ?? 'Operations';
      if (!found.has(tag)) found.set(tag, []);
      found.get(tag).push({ path, method, operation, shared: item.parameters ?? [] });
    }
  }
  return [...found].filter(([, operations]) => operations.length);
}

function group(name, operations) {
  const tag = (described.tags ?? []).find((it) => it.name === name);
  return element('section', { class: 'group' }, element('h2', {}, visible(name, 100)), ...prose(tag?.description), ...operations.map(box));
}

function box({ path, method, operation, shared }) {
  const summary = element('summary', {},
    element('span', { class: `method method-${method}` }, method.toUpperCase()),
    element('code', { class: 'path' }, visible(path, 200)),
    element('span', { class: 'muted' }, visible(operation.summary ?? '', 300)));
  const details = element('details', { class: 'operation', id: anchor(method, path) }, summary);
  details.dataset.words = [method, path, operation.summary, operation.description, operation.operationId].join(' ').toLowerCase();
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) details.append(content(operation, shared));
  });
  return details;
}

function anchor(method, path) {
  return `${method}${path.replace(/[^a-zA-Z0-9]+/g, '-')}`;
}

function openFromAddress() {
  const target = location.hash.length < 2 ? null : document.getElementById(location.hash.slice(1));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.scrollIntoView();
}

function content(operation, shared) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map(resolve);
  return element('div', { class: 'operation-body' },
    ...prose(operation.description),
    operation.deprecated ? element('p', { class: 'notice' }, 'Deprecated.') : null,
    access(operation),
    parameters.length ? parameterTable(parameters) : null,
    operation.requestBody ? requestBody(resolve(operation.requestBody)) : null,
    responses(operation.responses ?? {}));
}

function access(operation) {
  const needed = operation.security ?? described.security;
  if (!needed) return null;
  const names = [...new Set(needed.flatMap((it) => Object.entries(it).map(([name, scopes]) => (scopes.length ? `${name} (${scopes.join(', ')})` : name))))];
  return element('p', { class: 'muted' }, names.length ? `Access: ${visible(names.join(' or '), 300)}` : 'Access: open, no key needed');
}

function parameterTable(parameters) {
  const rows = parameters.map((it) => {
    const schema = resolve(it.schema ?? {});
    const name = element('th', { scope: 'row' }, element('code', {}, visible(it.name, 100)), it.required ? required() : null);
    return element('tr', {}, name, element('td', {}, visible(it.in, 20)), element('td', {}, typeOf(schema)),
      element('td', {}, ...prose(it.description ?? schema.description)));
  });
  return titled('Parameters', table(['Name', 'In', 'Type', 'Meaning'], rows));
}

function requestBody(body) {
  const title = body.required ? 'Body, required' : 'Body';
  return titled(title, ...prose(body.description), ...media(body.content ?? {}));
}

function responses(all) {
  const parts = Object.entries(all).map(([status, given]) => {
    const response = resolve(given);
    const headers = Object.keys(response.headers ?? {});
    return element('div', { class: 'response' },
      element('p', {}, element('strong', { class: 'code' }, visible(status, 10)), ' ', visible(response.description ?? '', 1000)),
      headers.length ? element('p', { class: 'muted' }, `Headers: ${visible(headers.join(', '), 300)}`) : null,
      ...media(response.content ?? {}));
  });
  return titled('Answers', ...parts);
}

function media(content) {
  return Object.entries(content).map(([type, value]) => {
    const example = value.example ?? resolve(Object.values(value.examples ?? {})[0] ?? {}).value ?? resolve(value.schema ?? {}).example;
    return element('div', { class: 'media' },
      element('p', { class: 'muted' }, element('code', {}, visible(type, 100)), ' ', typeOf(value.schema ?? {})),
      fields(value.schema ?? {}, 0, []),
      example === undefined ? null : element('pre', { class: 'original' }, visible(typeof example === 'string' ? example : JSON.stringify(example, null, 2))));
  });
}

// A table of the members of an object, or of the elements of an array; nothing for what has no members.
function fields(given, depth, seen) {
  const schema = merged(given);
  if (schema.items) return fields(schema.items, depth, [...seen, given.$ref]);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return element('div', {}, ...choices.map((it) => fields(it, depth + 1, [...seen, given.$ref])));
  if (!schema.properties || DEPTH_MAX < depth || (given.$ref && seen.includes(given.$ref))) return null;
  const needed = schema.required ?? [];
  const rows = Object.entries(schema.properties).map(([name, value]) => {
    const field = merged(value);
    const head = element('th', { scope: 'row' }, element('code', {}, visible(name, 100)), needed.includes(name) ? required() : null);
    return element('tr', {}, head, element('td', {}, typeOf(value)),
      element('td', {}, ...prose(value.description ?? field.description), fields(value, depth + 1, [...seen, given.$ref])));
  });
  return table(['Field', 'Type', 'Meaning'], rows);
}

function typeOf(given) {
  const schema = merged(given);
  const named = given.$ref ? given.$ref.split('/').pop() : null;
  if (schema.items) return `list of ${typeOf(schema.items)}`;
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : schema.type;
  const choices = (schema.oneOf ?? schema.anyOf)?.map(typeOf).join(' or ');
  const base = named ?? choices ?? type ?? 'any';
  const bounds = [
    schema.format, schema.enum ? schema.enum.map(String).join(', ') : null,
    schema.minimum === undefined ? null : `from ${schema.minimum}`, schema.maximum === undefined ? null : `to ${schema.maximum}`,
    schema.default === undefined ? null : `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean);
  return visible(bounds.length ? `${base} (${bounds.join('; ')})` : base, 600);
}

// Follows references; a chain that leads back to itself ends.
function resolve(given) {
  let found = given ?? {};
  for (let step = 0; step < 20 && typeof found.$ref === 'string'; step += 1) {
    const parts = found.$ref.split('/').slice(1).map((it) => it.replaceAll('~1', '/').replaceAll('~0', '~'));
    found = parts.reduce((value, part) => value?.[part], described) ?? {};
  }
  return found;
}

// A schema with the members of what it is all of.
function merged(given, depth = 0) {
  const schema = resolve(given);
  if (!schema.allOf || DEPTH_MAX < depth) return schema;
  const parts = [...schema.allOf.map((it) => merged(it, depth + 1)), { ...schema, allOf: undefined }];
  return Object.assign({}, ...parts, {
    properties: Object.assign({}, ...parts.map((it) => it.properties)), required: parts.flatMap((it) => it.required ?? []),
  });
}

function required() {
  return element('span', { class: 'badge' }, 'required');
}

function titled(title, ...children) {
  return element('section', {}, element('h3', {}, title), ...children);
}

function table(columns, rows) {
  const head = element('tr', {}, ...columns.map((it) => element('th', { scope: 'col' }, it)));
  return element('div', { class: 'scroll' }, element('table', { class: 'schema' }, element('thead', {}, head), element('tbody', {}, ...rows)));
}

// Paragraphs, with what stands between backquotes as code. No other markup.
function prose(text) {
  if (!text) return [];
  return visible(text, 20000).split(/\n\s*\n/).map((paragraph) => {
    const parts = paragraph.split('`').map((it, index) => (index % 2 ? element('code', {}, it) : it));
    return element('p', {}, ...parts);
  });
}

function filter() {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  let number = 0;
  for (const section of place.querySelectorAll('.group')) {
    let any = false;
    for (const operation of section.querySelectorAll('.operation')) {
      const fits = words.every((it) => operation.dataset.words.includes(it));
      operation.hidden = !fits;
      any ||= fits;
      number += fits ? 1 : 0;
    }
    section.hidden = !any;
  }
  setText(byId('docs-count'), number ? plural(number, 'operation') : 'Nothing fits. Fewer letters may help.');
}
