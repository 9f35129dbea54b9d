// How each type of panel is drawn: with the component of @grafana/ui that Grafana's own panel of that type uses.

import {
  dateTime,
  FieldType,
  formattedValueToString,
  getDisplayValueAlignmentFactors,
  getFieldDisplayName,
  getFieldDisplayValues,
  getValueFormat,
} from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizLegend, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { interpolateOranges } from 'd3-scale-chromatic';
import { useMemo } from 'react';

import { Cells } from './cells.jsx';

function timeRange({ from, to }) {
  const range = { from: dateTime(from), to: dateTime(to) };
  return { ...range, raw: range };
}

/** The values of a stat or a bar gauge. */
function displayed({ panel, frames, fieldConfig, theme, timeZone }, sparkline) {
  const { reduceOptions } = panel.options;
  const how = { fieldConfig, reduceOptions, replaceVariables: (text) => text, theme, timeZone, sparkline };
  return getFieldDisplayValues({ data: frames, ...how });
}

function Repeated({ minVizHeight, orientation, values, render, width, height }) {
  return (
    <VizRepeater
      source={values}
      getValues={() => values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={render}
      renderCounter={0}
      width={width}
      height={height}
      minVizHeight={minVizHeight}
      orientation={orientation}
    />
  );
}

function Stat(props) {
  const { panel, theme, time, width, height } = props;
  const { colorMode, graphMode, justifyMode, textMode, wideLayout, orientation } = panel.options;
  const values = displayed(props, graphMode !== 'none');
  const render = ({ value: { display, sparkline }, width, height, count, alignmentFactors }) => (
    <BigValue
      value={display}
      sparkline={sparkline && { ...sparkline, timeRange: timeRange(time) }}
      {...{ colorMode, graphMode, justifyMode, textMode, wideLayout, width, height, count, alignmentFactors, theme }}
    />
  );
  return <Repeated {...{ orientation, values, render, width, height }} />;
}

function Bars(props) {
  const { panel, theme, width, height } = props;
  const { displayMode, orientation, showUnfilled, valueMode, minVizHeight } = panel.options;
  const values = displayed(props, false);
  const render = ({ value: { display, field, view, colIndex }, width, height, alignmentFactors }) => (
    <BarGauge
      value={display}
      display={view?.getFieldDisplayProcessor(colIndex)}
      valueDisplayMode={valueMode}
      {...{ field, displayMode, orientation, showUnfilled, width, height, alignmentFactors, theme }}
    />
  );
  return <Repeated {...{ minVizHeight, orientation, values, render, width, height }} />;
}

function Table({ panel, frames: [frame], fieldConfig, time, timeZone, width, height }) {
  const { sortBy, cellHeight } = panel.options;
  return (
    <TableNG
      data={frame}
      timeRange={timeRange(time)}
      sortBy={sortBy}
      cellHeight={cellHeight}
      enableVirtualization={false}
      {...{ fieldConfig, timeZone, width, height }}
    />
  );
}

function Lines({ panel, frames, time, timeZone, width, height }) {
  const range = useMemo(() => timeRange(time), [time]);
  const { legend } = panel.options;
  return <TimeSeries options={{}} timeRange={range} structureRev={1} {...{ legend, frames, timeZone, width, height }} />;
}

/** The values of a frame of a series, and its field. */
const valuesOf = (frame) => frame.fields.find(({ type }) => type === FieldType.number);

/** Every series a row, its values as colours. */
function History(props) {
  const { panel, frames, fieldConfig } = props;
  const times = frames[0].fields[0].values;
  const rows = useMemo(
    () =>
      frames
        .map((frame) => {
          const field = valuesOf(frame);
          const color = (value) => (value === null ? null : field.display(value).color);
          return { label: getFieldDisplayName(field, frame, frames), colors: field.values.map(color) };
        })
        .reverse(),
    [frames]
  );
  const { steps } = fieldConfig.defaults.thresholds;
  const { display } = valuesOf(frames[0]);
  const items = steps.map(({ value }, n) => ({
    label: n === 0 ? `< ${formattedValueToString(display(steps[1].value))}` : `${formattedValueToString(display(value))}+`,
    color: display(Math.max(value, 0)).color,
    yAxis: 1,
  }));
  const { rowHeight, colWidth, legend } = panel.options;
  const interval = frames[0].fields[0].config.interval;
  const gap = useMemo(() => ({ x: 1 - colWidth, y: (1 - rowHeight) * 10 }), [colWidth, rowHeight]);
  return (
    <Cells
      {...props}
      {...{ rows, times, interval, gap }}
      legend={<VizLegend displayMode={legend.displayMode} placement={legend.placement} items={items} readonly />}
    />
  );
}

/** Grafana's scale of this name, which it inverts in the dark theme. */
function scheme({ scheme, exponent }, theme) {
  if (scheme !== 'Oranges') {
    throw new Error(`a scheme of colours that the preview does not know: ${scheme}`);
  }
  return (share) => interpolateOranges(theme.isDark ? 1 - share ** exponent : share ** exponent);
}

/** The buckets of a histogram as rows: how many observations each point in time adds to each bucket. */
function Heatmap(props) {
  const { panel, frames, theme } = props;
  const { color, filterValues, yAxis, cellGap } = panel.options;
  const times = frames[0].fields[0].values;
  const { rows, most, paint } = useMemo(() => {
    const bound = (frame) => Number(frame.meta.custom.labels.le.replace('+Inf', 'Infinity'));
    const buckets = frames
      .map((frame) => ({ bound: bound(frame), values: valuesOf(frame).values }))
      .sort((a, b) => a.bound - b.bound);
    // A bucket of Prometheus counts those below it, too.
    const counts = buckets.map(({ values }, n) => values.map((v, t) => Math.max(0, v - (buckets[n - 1]?.values[t] ?? 0))));
    const most = Math.max(...counts.flat());
    const paint = scheme(color, theme);
    const format = (bound) => formattedValueToString(getValueFormat(yAxis.unit)(bound));
    const rows = buckets.map(({ bound }, n) => ({
      label: bound === Infinity ? `> ${format(buckets[n - 1].bound)}` : `≤ ${format(bound)}`,
      colors: counts[n].map((count) => (count <= filterValues.le ? null : paint(count / most))),
    }));
    return { rows, most, paint };
  }, [frames, theme]);
  const interval = frames[0].fields[0].config.interval;
  const gap = useMemo(() => ({ x: cellGap, y: cellGap / 2 }), [cellGap]);
  const stops = Array.from({ length: 11 }, (_, n) => paint(n / 10));
  const legend = (
    <div style={{ display: 'flex', alignItems: 'center', gap: 8, fontSize: 12, color: theme.colors.text.secondary }}>
      <span>0</span>
      <div style={{ width: 160, height: 10, background: `linear-gradient(to right, ${stops.join(', ')})` }} />
      <span>{formattedValueToString(getValueFormat('short')(most))}</span>
    </div>
  );
  return <Cells {...props} {...{ rows, times, interval, gap, legend }} />;
}

export const PANELS = {
  stat: Stat,
  bargauge: Bars,
  table: Table,
  timeseries: Lines,
  heatmap: Heatmap,
  'status-history': History,
};
