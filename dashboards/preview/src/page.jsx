// The preview page: reads a dashboard's JSON, asks Prometheus for its data, and draws it. Its address chooses what it shows:
//
//   ?dashboard=fleet&theme=dark&minutes=30&to=SECONDS&width=1280&rows=2&scrape=5&var-NAME=VALUE&var-NAME=VALUE

import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import { createTheme, ThemeContext } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { createRoot } from 'react-dom/client';

import { faults } from './faults.js';
import { shown } from './fields.js';
import { laidOut } from './layout.js';
import { PANELS } from './panels.jsx';
import { frames } from './prometheus.js';
import { inExpression, resolved } from './variables.js';

const MARGIN = 16;
const TIME_ZONE = 'utc';

const asked = new URLSearchParams(location.search);
const numberOf = (name, otherwise) => Number(asked.get(name) ?? otherwise);

/** A panel's data, or what went wrong. */
async function withData({ key, panel, variables, title, place }, { time, scrape, theme }) {
  const id = `panel-${key}`;
  if (panel.type === 'row') {
    return { id, panel, title, place };
  }
  try {
    if (!PANELS[panel.type]) {
      throw new Error(`a type of panel that the preview does not know: ${panel.type}`);
    }
    const fill = (expr) => inExpression(expr, variables);
    const answers = await frames(panel, { time, scrape, fill });
    const { frames: drawn, fieldConfig } = await shown(panel, answers, theme, TIME_ZONE);
    const isDrawn = drawn.some((frame) => frame.length > 0) || fieldConfig.defaults.noValue;
    return { id, panel, title, place, asked: answers, frames: drawn, fieldConfig, error: isDrawn ? null : 'no data' };
  } catch (error) {
    return { id, panel, title, place, error: String(error) };
  }
}

function Panel({ id, panel, title, place, error, theme, time, ...data }) {
  const style = { position: 'absolute', ...place };
  if (panel.type === 'row') {
    return (
      <h2 id={id} style={{ ...style, ...theme.typography.h6, margin: 0, lineHeight: `${place.height}px` }}>
        {title}
      </h2>
    );
  }
  const Kind = PANELS[panel.type];
  return (
    <div id={id} style={style}>
      <PanelChrome title={title} description={panel.description} width={place.width} height={place.height}>
        {(width, height) =>
          error ? <p>{error}</p> : <Kind {...data} {...{ panel, theme, time, width, height }} timeZone={TIME_ZONE} />
        }
      </PanelChrome>
    </div>
  );
}

function Head({ dashboard, variables, time, theme }) {
  const clock = (ms) => new Date(ms).toISOString().slice(11, 16);
  const shown = [...variables.values()].map(({ label, text }) => [label, text]);
  const chip = { border: `1px solid ${theme.colors.border.weak}`, borderRadius: 2, padding: '3px 8px' };
  return (
    <header style={{ display: 'flex', flexWrap: 'wrap', alignItems: 'center', gap: 8, marginBottom: 8 }}>
      <h1 style={{ ...theme.typography.h4, margin: 0, flexGrow: 1 }}>{dashboard.title}</h1>
      {[...shown, ['Time', `${clock(time.from)} to ${clock(time.to)} UTC`]].map(([label, text]) => (
        <span key={label} style={{ ...chip, ...theme.typography.bodySmall }}>
          <span style={{ color: theme.colors.text.secondary }}>{label}</span> {text}
        </span>
      ))}
    </header>
  );
}

async function draw() {
  await initPluginTranslations('preview');
  const theme = createTheme({ colors: { mode: asked.get('theme') ?? 'dark' } });
  const to = numberOf('to', Date.now() / 1000) * 1000;
  const time = { from: to - numberOf('minutes', 30) * 60_000, to };
  const width = numberOf('width', window.innerWidth - 2 * MARGIN);
  const scrape = numberOf('scrape', 5);

  const response = await fetch(`/dashboards/${asked.get('dashboard') ?? 'fleet'}.json`);
  if (!response.ok) {
    throw new Error(await response.text());
  }
  const dashboard = await response.json();
  const chosen = (name) => asked.getAll(`var-${name}`);
  const variables = await resolved(dashboard.templating.list, chosen, time);
  const { places, height } = laidOut(dashboard, variables, width, numberOf('rows', Infinity));
  const panels = await Promise.all(places.map((place) => withData(place, { time, scrape, theme })));
  await Promise.all(['400', '500'].map((weight) => document.fonts.load(`${weight} 14px Inter`)));

  createRoot(document.getElementById('page')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ padding: MARGIN, width: width + 2 * MARGIN, background: theme.colors.background.canvas }}>
        <Head {...{ dashboard, variables, time, theme }} />
        <main style={{ position: 'relative', height, width }}>
          {panels.map((panel) => (
            <Panel key={panel.id} {...panel} {...{ theme, time }} />
          ))}
        </main>
      </div>
    </ThemeContext.Provider>
  );
  window.faults = () => faults(panels.filter(({ panel }) => panel.type !== 'row'));
}

draw().catch((error) => {
  document.body.textContent = String(error);
  window.faults = () => [String(error)];
});
