// Asks Prometheus, and makes Grafana's data frames of its answers.

import { FieldType } from '@grafana/data';

/** What a path of Prometheus' HTTP API answers. */
export async function ask(path, parameters) {
  const response = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(`Prometheus does not answer: ${text}`);
  }
  if (answer.status !== 'success') {
    throw new Error(`${answer.error} (${JSON.stringify(parameters)})`);
  }
  return answer.data;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** Seconds between two points: never below the time between two scrapes, and at most so many points. */
export function step({ from, to }, points, scrape) {
  const least = Math.max(scrape, (to - from) / 1000 / points);
  return STEPS.find((seconds) => seconds >= least) ?? Math.ceil(least);
}

function legend(format, labels) {
  return format.replace(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? '');
}

function frame(refId, fields, meta) {
  return { refId, fields, length: fields[0].values.length, meta };
}

function number(text) {
  const value = Number(text);
  return Number.isNaN(value) ? null : value;
}

function series(target, { metric, points }, interval) {
  const name = legend(target.legendFormat, metric);
  const time = { name: 'Time', type: FieldType.time, values: points.map(([t]) => t), config: { interval } };
  const value = {
    name: 'Value',
    type: FieldType.number,
    values: points.map(([, v]) => v),
    labels: metric,
    config: { displayNameFromDS: name },
  };
  return frame(target.refId, [time, value], { custom: { labels: metric } });
}

/** A target's series over time, on one grid of points; a point without a value is null. */
async function overTime(target, expr, time, seconds) {
  const start = Math.ceil(time.from / 1000 / seconds) * seconds;
  const end = Math.floor(time.to / 1000 / seconds) * seconds;
  const { result } = await ask('query_range', { query: expr, start, end, step: seconds });
  return result.map(({ metric, values }) => {
    const known = new Map(values.map(([t, v]) => [Math.round(t), number(v)]));
    const points = [];
    for (let t = start; t <= end; t += seconds) {
      points.push([t * 1000, known.get(t) ?? null]);
    }
    return series(target, { metric, points }, seconds * 1000);
  });
}

/** A target's values at the end of the time. */
async function atTheEnd(target, expr, time, isOneOfSeveral) {
  const { result } = await ask('query', { query: expr, time: time.to / 1000 });
  if (target.format !== 'table') {
    return result.map(({ metric, value: [, v] }) => series(target, { metric, points: [[time.to, number(v)]] }));
  }
  const labels = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const column = (name, type, value) => ({ name, type, values: result.map(value), config: {} });
  const fields = [
    column('Time', FieldType.time, () => time.to),
    ...labels.map((label) => column(label, FieldType.string, ({ metric }) => metric[label] ?? '')),
    column(isOneOfSeveral ? `Value #${target.refId}` : 'Value', FieldType.number, ({ value: [, v] }) => number(v)),
  ];
  return [frame(target.refId, fields)];
}

/** The frames of all of a panel's targets; `fill` fills the variables of an expression in. */
export async function frames(panel, { time, scrape, fill }) {
  const seconds = step(time, panel.maxDataPoints ?? 300, scrape);
  const interval = `${Math.max(seconds + scrape, 4 * scrape)}s`;
  const all = await Promise.all(
    panel.targets.map((target) => {
      const expr = fill(target.expr).replaceAll('$__rate_interval', interval);
      return target.instant
        ? atTheEnd(target, expr, time, panel.targets.length > 1)
        : overTime(target, expr, time, seconds);
    })
  );
  return all.flat();
}
