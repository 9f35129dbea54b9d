// What must not be in a picture: a panel without data, a number without a unit, a text that is cut off.

import { FieldType, getValueFormats } from '@grafana/data';

const UNITS = new Set(getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));

/** What is wrong with a panel's data: `asked` as Prometheus answered, `frames` as they are shown. */
function ofData({ panel, asked, frames }) {
  const faults = [];
  const numbers = (frame) => frame.fields.filter(({ type }) => type === FieldType.number);
  const hasValues = (frame) => numbers(frame).some(({ values }) => values.some((value) => value !== null));
  // A panel that says so in words may be without data.
  for (const { refId } of panel.fieldConfig.defaults.noValue ? [] : panel.targets) {
    if (!asked.some((frame) => frame.refId === refId && hasValues(frame))) {
      faults.push(`no data of target ${refId}`);
    }
  }
  for (const { name, config } of frames.flatMap(numbers)) {
    if (!UNITS.has(config.unit)) {
      faults.push(`${config.displayName ?? config.displayNameFromDS ?? name} has no unit: ${config.unit}`);
    }
  }
  return faults;
}

/** Whether an element's text does not fit into it, or into the panel. Text for screen readers alone has a box of a pixel. */
function isCut(element, panel) {
  if (element.offsetWidth === 1) {
    return false;
  }
  const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (own.length === 0) {
    return false;
  }
  const range = document.createRange();
  range.selectNodeContents(element);
  const text = range.getBoundingClientRect();
  if (text.width === 0) {
    return false;
  }
  const outside = ({ left, right, top, bottom }) =>
    text.left < left - 1 || text.right > right + 1 || text.top < top - 3 || text.bottom > bottom + 3;
  for (let box = element; box !== panel; box = box.parentElement) {
    const { overflowX, overflowY } = getComputedStyle(box);
    if ((overflowX !== 'visible' || overflowY !== 'visible') && outside(box.getBoundingClientRect())) {
      return true;
    }
  }
  return outside(panel.getBoundingClientRect());
}

function ofTexts(panel) {
  const cut = [...panel.querySelectorAll('*')].filter((element) => isCut(element, panel));
  return cut.map((element) => `cut off: ${element.textContent.trim()}`);
}

/** Every fault of the page, one a line. `drawn`: the panels by their element's id. */
export function faults(drawn) {
  return drawn.flatMap((one) => {
    const element = document.getElementById(one.id);
    const all = one.error ? [one.error] : [...ofData(one), ...ofTexts(element)];
    return all.map((fault) => `${one.title}: ${fault}`);
  });
}
