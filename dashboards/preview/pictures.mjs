// Takes a picture of each dashboard, light and dark, into docs/pictures. Fails if a panel has no data, no unit, or cuts a
// text off.
//
//   npm run pictures -- --prometheus URL [--minutes N] [--to SECONDS] [--only NAME] [--out FOLDER]
//
// It needs Chromium and pngquant (Debian: chromium, pngquant); CHROMIUM names another program.

import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

import { serve } from './server.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));

/** Width of the dashboards, in pixels. */
const WIDTH = 1280;

const JOB = { 'var-job': 'metal3-ipam' };

/** The pictures: a dashboard, the values of its variables, and how many of its rows are shown. */
const PICTURES = {
  overview: { dashboard: 'fleet', variables: JOB, rows: 2 },
  fleet: { dashboard: 'fleet', variables: JOB },
  pools: { dashboard: 'pools', variables: { ...JOB, 'var-namespace': 'prod', 'var-pool': ['workers', 'storage'] } },
  controller: { dashboard: 'controller', variables: JOB },
  benchmark: { dashboard: 'benchmark', variables: { 'var-job': 'metal3-ipam-bench' } },
};

/** A picture's largest size, in bytes. */
const LARGEST = 200 * 1024;

/**
 * The end of the time that is shown, in seconds: half a minute away from each full one, so that the last label of a time axis
 * is not cut off.
 */
const END = Math.floor(Date.now() / 60_000) * 60 - 30;

const { values: options } = parseArgs({
  options: {
    prometheus: { type: 'string' },
    minutes: { type: 'string', default: '15' },
    to: { type: 'string', default: String(END) },
    only: { type: 'string', multiple: true, default: Object.keys(PICTURES) },
    out: { type: 'string', default: path.join(HERE, '../../docs/pictures') },
  },
});

function address(url, { dashboard, variables, rows }, theme) {
  const { minutes, to } = options;
  const query = new URLSearchParams({ dashboard, theme, minutes, to, width: WIDTH, rows: rows ?? Infinity });
  for (const [name, values] of Object.entries(variables)) {
    [values].flat().forEach((value) => query.append(name, value));
  }
  return `${url}/?${query}`;
}

/** Draws a dashboard and takes its picture; returns what is wrong with it. */
async function picture(browser, url, name, theme) {
  const page = await browser.newPage({ viewport: { width: WIDTH + 32, height: 1000 }, colorScheme: theme });
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  await page.goto(address(url, PICTURES[name], theme));
  await page.waitForFunction('window.faults');
  // Icons are fetched, and tables measure themselves, after the first drawing.
  await page.waitForLoadState('networkidle');
  await page.waitForTimeout(500);
  faults.push(...(await page.evaluate('window.faults()')));
  const file = path.join(options.out, `${name}-${theme}.png`);
  const drawn = page.locator('#page > div');
  if ((await drawn.count()) > 0) {
    await drawn.screenshot({ path: file });
    execFileSync('pngquant', ['--force', '--strip', '--speed=1', '--nofs', '--output', file, '128', file]);
    const { size } = statSync(file);
    if (size > LARGEST) {
      faults.push(`${size} bytes are too many`);
    }
    console.log(`${path.relative(process.cwd(), file)}: ${size} bytes, ${faults.length} faults`);
  }
  await page.close();
  return faults.map((fault) => `${name}, ${theme}: ${fault}`);
}

mkdirSync(options.out, { recursive: true });
const { url, close } = await serve({ prometheus: options.prometheus });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' });
const faults = [];
for (const name of options.only) {
  for (const theme of ['light', 'dark']) {
    faults.push(...(await picture(browser, url, name, theme)));
  }
}
await browser.close();
await close();
faults.forEach((fault) => console.error(fault));
process.exitCode = faults.length > 0 ? 1 : 0;
