// Where a dashboard's rows and panels stand, with rows repeated for each value of their variable.

import { inTitle, withValue } from './variables.js';

/** Sizes of Grafana's grid, in pixels. */
const CELL = 30;
const GAP = 8;
const COLUMNS = 24;

/** The rows of a dashboard, each with the panels below it. */
function rowsOf(panels) {
  const rows = [];
  for (const panel of panels) {
    if (panel.type === 'row') {
      rows.push({ row: panel, panels: [] });
    } else {
      rows.at(-1).panels.push(panel);
    }
  }
  return rows;
}

/** The first `count` rows and their panels with their variables and places, and the height of the whole. */
export function laidOut(dashboard, variables, width, count) {
  const column = (width + GAP) / COLUMNS;
  const places = [];
  let top = 0;
  for (const { row, panels } of rowsOf(dashboard.panels).slice(0, count)) {
    const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) - row.gridPos.y;
    for (const value of row.repeat ? variables.get(row.repeat).values : [null]) {
      const its = value === null ? variables : withValue(variables, row.repeat, value);
      const place = ({ x, y, w, h }) => ({
        left: Math.round(x * column),
        top: (top + y - row.gridPos.y) * (CELL + GAP),
        width: Math.round((x + w) * column) - Math.round(x * column) - GAP,
        height: h * CELL + (h - 1) * GAP,
      });
      for (const panel of [row, ...panels]) {
        const key = `${panel.id}/${value}`;
        places.push({ key, panel, variables: its, title: inTitle(panel.title, its), place: place(panel.gridPos) });
      }
      top += height;
    }
  }
  return { places, height: top * (CELL + GAP) };
}
