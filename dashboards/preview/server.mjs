// Serves the preview on this machine: the page, the dashboards' JSON, Grafana's icons, and a Prometheus behind /api/v1.
//
//   npm run preview -- [--prometheus URL] [--port PORT]

import { build } from 'esbuild';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DASHBOARDS = path.dirname(HERE);
const ICONS = path.join(HERE, 'node_modules/@grafana/ui/dist/public/img/icons');

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};

const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Preview of the dashboards</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<div id="page"></div>
<script type="module" src="/page.js"></script>
</html>
`;

/** The page's script and style sheet. */
async function bundle() {
  const result = await build({
    entryPoints: [path.join(HERE, 'src/page.jsx')],
    outdir: HERE,
    write: false,
    bundle: true,
    format: 'esm',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.ttf': 'empty', '.woff': 'empty', '.woff2': 'dataurl' },
    logLevel: 'error',
  });
  return new Map(result.outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]));
}

/** A path below a folder; an error for a path that leads out of it. */
function below(folder, name) {
  const file = path.join(folder, name);
  if (!file.startsWith(folder + path.sep)) {
    throw new Error(`${name} is outside of ${folder}`);
  }
  return file;
}

/** Starts the server; resolves to its URL and a function that ends it. */
export async function serve({ prometheus, port = 0 }) {
  const files = await bundle();

  const answer = async (url) => {
    if (url.pathname === '/') {
      return { type: '.html', body: HTML };
    }
    if (files.has(url.pathname)) {
      return { type: path.extname(url.pathname), body: files.get(url.pathname) };
    }
    if (url.pathname.startsWith('/api/v1/')) {
      const asked = await fetch(new URL(url.pathname + url.search, prometheus));
      return { status: asked.status, type: '.json', body: await asked.text() };
    }
    const [, folder, name] = url.pathname.match(/^\/(dashboards|public\/build\/img\/icons)\/(.+)$/) ?? [];
    if (folder) {
      const file = below(folder === 'dashboards' ? DASHBOARDS : ICONS, decodeURIComponent(name));
      return { type: path.extname(file), body: await readFile(file) };
    }
    return { status: 404, type: '.html', body: 'not found' };
  };

  const server = createServer(async (request, response) => {
    try {
      const { status = 200, type, body } = await answer(new URL(request.url, 'http://127.0.0.1'));
      response.writeHead(status, { 'content-type': TYPES[type] ?? 'application/octet-stream' }).end(body);
    } catch (error) {
      response.writeHead(error.code === 'ENOENT' ? 404 : 502, { 'content-type': 'text/plain' }).end(String(error));
    }
  });
  await new Promise((listening, failed) => server.once('error', failed).listen(port, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
      port: { type: 'string', default: '3000' },
    },
  });
  const { url } = await serve({ prometheus: values.prometheus, port: Number(values.port) });
  for (const name of ['fleet', 'pools', 'controller', 'benchmark']) {
    console.log(`${url}/?dashboard=${name}`);
  }
}
