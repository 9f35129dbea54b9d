// The variables of a dashboard: their values, and how they are filled into expressions and titles.

import { ask } from './prometheus.js';

/** A value as a part of a regular expression within a PromQL string. */
function escaped(value) {
  return value.replace(/[.*+?^${}()|[\]\\]/g, '\\\\$&');
}

function expression(values) {
  return values.length === 1 ? escaped(values[0]) : `(${values.map(escaped).join('|')})`;
}

/** Replaces `$name` and `${name}` of the variables that are known. */
function filled(text, variables, part) {
  return text.replace(/\$(?:(\w+)|{(\w+)})/g, (all, a, b) => variables.get(a ?? b)?.[part] ?? all);
}

export const inExpression = (text, variables) => filled(text, variables, 'expression');
export const inTitle = (text, variables) => filled(text, variables, 'text');

/** The variables with one value instead, for a row that is repeated. */
export function withValue(variables, name, value) {
  const one = { ...variables.get(name), values: [value], text: value, expression: expression([value]) };
  return new Map([...variables, [name, one]]);
}

async function labelValues(query, variables, time) {
  const [, selector, label] = query.match(/^label_values\((.*), (\w+)\)$/);
  const start = time.from / 1000;
  const end = time.to / 1000;
  return ask(`label/${label}/values`, { 'match[]': inExpression(selector, variables), start, end });
}

/** The variables in their order; `chosen(name)` are the values that the page's address chooses. */
export async function resolved(list, chosen, time) {
  const variables = new Map();
  for (const { name, label, type, query, includeAll, allValue, current, multi } of list) {
    if (type === 'datasource') {
      continue;
    }
    let values = chosen(name);
    if (type === 'custom') {
      values = values.length > 0 ? values : [current.value];
      variables.set(name, { label, values, text: values.join(' + '), expression: values[0] });
      continue;
    }
    const all = await labelValues(query, variables, time);
    const unknown = values.filter((value) => !all.includes(value));
    if (unknown.length > 0) {
      throw new Error(`${name} has no value ${unknown.join(', ')}: there is ${all.join(', ') || 'none'}`);
    }
    if (values.length === 0 && includeAll) {
      variables.set(name, { label, values: all, text: 'All', expression: allValue });
      continue;
    }
    values = values.length > 0 ? values : all.slice(0, 1);
    const text = values.join(' + ');
    variables.set(name, { label, values, text, expression: multi ? expression(values) : values[0] });
  }
  return variables;
}
