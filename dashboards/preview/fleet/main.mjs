// A fleet for the pictures: `metal3-ipam standalone` with pools in three namespaces, claims that come and go, and a
// Prometheus that scrapes it. Then a run of `metal3-ipam bench`, and the pictures.
//
//   npm run fleet -- [--minutes N] [--bench-minutes N] [--stay]
//
// METAL3_IPAM names the program, PROMETHEUS the other one. With --stay it takes no pictures, and claims come and go until
// Ctrl-C.
//
// The embedded server calls no webhooks, so a manager of an empty namespace serves them beside it, and this script asks it
// about each new claim.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { api, webhook } from './api.mjs';
import { Fleet } from './pools.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.join(HERE, '../../..');
const CACHE = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'metal3-ipam/prometheus/prometheus');
const PROGRAM = process.env.METAL3_IPAM ?? path.join(ROOT, 'target/release/metal3-ipam');
const PROMETHEUS = process.env.PROMETHEUS ?? (existsSync(CACHE) ? CACHE : 'prometheus');

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '15' },
    'bench-minutes': { type: 'string', default: '5' },
    stay: { type: 'boolean', default: false },
  },
});

const dir = mkdtempSync(path.join(tmpdir(), 'metal3-ipam-fleet-'));
const children = [];
let isEnding = false;

/** Ends every program that was started, and removes the folder. */
async function end() {
  isEnding = true;
  await Promise.all(
    children.map((child) => {
      const isOver = child.exitCode !== null || child.signalCode !== null;
      const over = isOver ? null : once(child, 'exit');
      child.kill();
      return over;
    })
  );
  rmSync(dir, { recursive: true, force: true });
}

/** Starts a program that runs until the end; resolves once it prints a line that `isReady` finds something in. */
function started(program, parameters, isReady) {
  const child = spawn(program, parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  return new Promise((ready, failed) => {
    const said = [];
    child.once('error', failed);
    child.once('exit', (code) => failed(new Error(`${program} ended with ${code}: ${said.join('\n')}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.splice(0, said.length - 20);
      said.push(line);
      const found = isReady(line);
      if (found) {
        ready(found);
      }
    });
  });
}

const metricsOf = (line) => line.match(/^metrics: http:\/\/([^/]+)\/metrics/)?.[1];

function freePort() {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

/** The manager that serves the webhook; resolves to its metrics' address and a function that asks it about a claim. */
async function manager(kubeconfig) {
  const certificates = path.join(dir, 'certificates');
  mkdirSync(certificates);
  const file = (name) => path.join(certificates, name);
  const subject = ['-subj', '/CN=webhook', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('tls.key')];
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...subject, '-out', file('tls.crt')], { stdio: 'pipe' });
  const [port, metrics] = [await freePort(), await freePort()];
  const parameters = ['manager', '--kubeconfig', kubeconfig, '--namespace=default', '--leader-elect=false'];
  parameters.push(`--webhook-port=127.0.0.1:${port}`, '--webhook-cert-dir', certificates);
  parameters.push(`--diagnostics-address=127.0.0.1:${metrics}`, '--insecure-diagnostics');
  await started(PROGRAM, parameters, () => true);
  return { metrics: `127.0.0.1:${metrics}`, review: webhook(port, readFileSync(file('tls.crt'))) };
}

/** A Prometheus that scrapes these targets every five seconds; resolves to its URL. */
async function prometheus(jobs) {
  const job = ([name, targets]) => ({
    job_name: name,
    static_configs: Object.entries(targets).map(([instance, target]) => ({ targets: [target], labels: { instance } })),
  });
  const config = { global: { scrape_interval: '5s' }, scrape_configs: Object.entries(jobs).map(job) };
  const file = path.join(dir, 'prometheus.json');
  writeFileSync(file, JSON.stringify(config));
  const port = await freePort();
  const parameters = [`--config.file=${file}`, `--storage.tsdb.path=${path.join(dir, 'tsdb')}`];
  parameters.push(`--web.listen-address=127.0.0.1:${port}`);
  await started(PROMETHEUS, parameters, (line) => /ready to receive/i.test(line));
  return `http://127.0.0.1:${port}`;
}

/** Takes these pictures of the last minutes; a fault of one makes the whole run fail at its end. */
async function pictures(url, minutes, ...names) {
  const only = names.flatMap((name) => ['--only', name]);
  const parameters = [path.join(HERE, '../pictures.mjs'), '--prometheus', url, '--minutes', minutes, ...only];
  const child = spawn(process.execPath, parameters, { stdio: 'inherit' });
  children.push(child);
  const [code] = await once(child, 'exit');
  process.exitCode ||= code ?? 1;
}

async function main() {
  const served = ['standalone', '--listen=127.0.0.1:0', '--diagnostics-address=127.0.0.1:0'];
  const metrics = await started(PROGRAM, [...served, `--data-dir=${path.join(dir, 'data')}`], metricsOf);
  const kubeconfig = path.join(dir, 'data/kubeconfig');
  const fleet = new Fleet(api(kubeconfig));
  await fleet.fill();
  const { metrics: beside, review } = await manager(kubeconfig);
  const bench = `127.0.0.1:${await freePort()}`;
  const url = await prometheus({
    'metal3-ipam': { 'ipam-0': metrics, 'webhook-0': beside },
    'metal3-ipam-bench': { 'bench-0': bench },
  });
  console.log(`Prometheus: ${url}`);

  const start = Date.now();
  const seconds = () => (Date.now() - start) / 1000;
  // Two minutes more than are shown: pictures end in front of the last full minute.
  while (options.stay || seconds() < (Number(options.minutes) + 2) * 60) {
    await fleet.round(seconds(), review);
    await pause(2000);
  }
  await pictures(url, options.minutes, 'overview', 'fleet', 'pools', 'controller');
  const parameters = ['bench', '--claims=500', '--rounds=1000', '--mode=live', `--data-dir=${dir}`];
  await started(PROGRAM, [...parameters, `--diagnostics-address=${bench}`], metricsOf);
  await pause((Number(options['bench-minutes']) + 2) * 60_000);
  await pictures(url, options['bench-minutes'], 'benchmark');
}

/** Ctrl-C: whatever is under way is given up. */
async function stop() {
  await end();
  process.exit(options.stay ? 0 : 130);
}

process.once('SIGINT', stop).once('SIGTERM', stop);
try {
  await main();
} catch (error) {
  if (!isEnding) {
    console.error(String(error));
    process.exitCode = 1;
  }
} finally {
  await end();
}
