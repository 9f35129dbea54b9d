// Requests to the embedded API server, and reviews to a webhook.

import { readFileSync } from 'node:fs';
import https from 'node:https';

/** Sends JSON and returns the answer's JSON; an error for a status that is not 2xx. */
function send(agent, method, url, headers, object) {
  return new Promise((answered, failed) => {
    const body = object ? JSON.stringify(object) : undefined;
    const request = https.request(url, { agent, method, headers: { 'content-type': 'application/json', ...headers } });
    request.on('error', failed).on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => {
        if (response.statusCode < 300) {
          answered(JSON.parse(text));
        } else {
          failed(new Error(`${method} ${url}: ${response.statusCode} ${text}`));
        }
      });
    });
    request.end(body);
  });
}

/** A client of the server that a kubeconfig of `metal3-ipam standalone` leads to: `(method, path, object) => answer`. */
export function api(kubeconfig) {
  const { clusters, users } = JSON.parse(readFileSync(kubeconfig, 'utf8'));
  const { server, 'certificate-authority-data': authority } = clusters[0].cluster;
  const agent = new https.Agent({ keepAlive: true, maxSockets: 8, ca: Buffer.from(authority, 'base64') });
  const headers = { authorization: `Bearer ${users[0].user.token}` };
  return (method, path, object) => send(agent, method, server + path, headers, object);
}

const RESOURCES = { IPClaim: 'ipclaims', IPAddressClaim: 'ipaddressclaims' };

/** Asks a webhook about a new claim, as an API server does: first for changes, then for a verdict. */
export function webhook(port, authority) {
  const agent = new https.Agent({ keepAlive: true, ca: authority });
  let asked = 0;
  return async (object) => {
    const [group, version] = object.apiVersion.split('/');
    const { kind, metadata } = object;
    const resource = RESOURCES[kind];
    asked += 1;
    const request = {
      uid: `00000000-0000-4000-8000-${String(asked).padStart(12, '0')}`,
      kind: { group, version, kind },
      resource: { group, version, resource },
      name: metadata.name,
      namespace: metadata.namespace,
      operation: 'CREATE',
      userInfo: { username: 'fleet' },
      object,
    };
    const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
    const about = `${group.replaceAll('.', '-')}${group === 'ipam.metal3.io' ? `-${version}` : ''}-${kind.toLowerCase()}`;
    for (const what of ['mutate', 'validate']) {
      await send(agent, 'POST', `https://127.0.0.1:${port}/${what}-${about}`, {}, review);
    }
  };
}
