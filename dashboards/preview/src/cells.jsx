// Cells on a grid of rows and points in time, for panels that @grafana/ui has no component for: heatmap and status history.

import {
  AxisPlacement,
  measureText,
  ScaleDirection,
  ScaleOrientation,
  UPLOT_AXIS_FONT_SIZE,
  UPlotChart,
  UPlotConfigBuilder,
  VizLayout,
} from '@grafana/ui';
import { useMemo } from 'react';

/** Pixels: the least distance between two labels of rows, and the height of time axis and legend. */
const ROOM_OF_A_LABEL = 13;
const HEIGHT_OF_THE_REST = 60;

/**
 * `rows`: label and colours of each row, the lowest first; `null` is no cell. `times`: the right edges of the columns,
 * `interval` milliseconds wide. `gap`: pixels between cells.
 */
export function Cells({ rows, times, interval, gap, legend, width, height, theme, time, timeZone }) {
  const config = useMemo(() => {
    const builder = new UPlotConfigBuilder(timeZone);
    builder.addScale({
      scaleKey: 'x',
      isTime: true,
      orientation: ScaleOrientation.Horizontal,
      direction: ScaleDirection.Right,
      range: () => [time.from, time.to],
    });
    builder.addScale({
      scaleKey: 'y',
      orientation: ScaleOrientation.Vertical,
      direction: ScaleDirection.Up,
      range: () => [0, rows.length],
    });
    builder.addAxis({
      scaleKey: 'x',
      isTime: true,
      placement: AxisPlacement.Bottom,
      grid: { show: false },
      timeZone,
      theme,
    });
    // Every row has its label, or every second one, and so on, so that labels do not overlap.
    const every = Math.ceil((ROOM_OF_A_LABEL * rows.length) / (height - HEIGHT_OF_THE_REST));
    const labelled = rows.map((_, row) => row).filter((row) => row % every === 0);
    const widest = Math.max(...rows.map(({ label }) => measureText(label, UPLOT_AXIS_FONT_SIZE).width));
    builder.addAxis({
      scaleKey: 'y',
      placement: AxisPlacement.Left,
      size: Math.ceil(widest) + 16,
      splits: () => labelled.map((row) => row + 0.5),
      values: () => labelled.map((row) => rows[row].label),
      grid: { show: false },
      ticks: { show: false },
      theme,
    });
    builder.addSeries({ scaleKey: 'y', pathBuilder: () => null, pointsBuilder: () => false, theme });
    builder.addHook('draw', (plot) => {
      const ratio = window.devicePixelRatio;
      plot.ctx.save();
      plot.ctx.beginPath();
      plot.ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
      plot.ctx.clip();
      rows.forEach(({ colors }, row) => {
        const top = Math.round(plot.valToPos(row + 1, 'y', true)) + gap.y * ratio;
        const bottom = Math.round(plot.valToPos(row, 'y', true)) - gap.y * ratio;
        times.forEach((end, column) => {
          if (colors[column] !== null) {
            const left = Math.round(plot.valToPos(end - interval, 'x', true));
            const right = Math.round(plot.valToPos(end, 'x', true)) - gap.x * ratio;
            plot.ctx.fillStyle = colors[column];
            plot.ctx.fillRect(left, top, right - left, bottom - top);
          }
        });
      });
      plot.ctx.restore();
    });
    return builder;
  }, [rows, times, interval, gap, height, theme, time, timeZone]);
  const data = useMemo(() => [times, times.map(() => 0)], [times]);
  return (
    <VizLayout width={width} height={height} legend={<VizLayout.Legend placement="bottom">{legend}</VizLayout.Legend>}>
      {(width, height) => <UPlotChart config={config} data={data} width={width} height={height} />}
    </VizLayout>
  );
}
