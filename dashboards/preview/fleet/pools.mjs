// The pools of the fleet, how many claims each has over time, and the work that keeps it so.

/** A wave between two numbers of claims; the period is in minutes. */
const wave = (least, most, period) => (seconds) =>
  least + ((most - least) * (1 - Math.cos((seconds / 60 / period) * 2 * Math.PI))) / 2;

/** A number of claims that grows by one every so many minutes. */
const growing = (from, minutes) => (seconds) => from + seconds / 60 / minutes;

const steady = (claims) => () => claims;

/**
 * `claims`: how many there are, by the seconds since the start. `turnover`: how many of them are replaced in each round, the
 * oldest first, as in a rollout.
 */
const POOLS = [
  { namespace: 'prod', name: 'workers', range: { subnet: '10.20.16.0/20' }, claims: growing(2900, 3), turnover: 2 },
  { namespace: 'prod', name: 'control-plane', range: { start: '10.20.4.10', end: '10.20.4.33' }, claims: steady(21) },
  { namespace: 'prod', name: 'storage', range: { start: '10.20.5.10', end: '10.20.5.41' }, claims: steady(35) },
  { namespace: 'prod', name: 'provisioning', range: { subnet: '172.22.0.0/23' }, claims: wave(290, 330, 4), turnover: 1 },
  { namespace: 'prod', name: 'workers-v6', range: { subnet: 'fd00:20::/64' }, claims: steady(120), turnover: 1 },
  { namespace: 'edge', name: 'oslo', range: { start: '10.40.1.10', end: '10.40.1.41' }, claims: steady(36) },
  { namespace: 'edge', name: 'lima', range: { subnet: '10.40.2.0/24' }, claims: growing(228, 10) },
  { namespace: 'edge', name: 'pune', range: { start: '10.40.3.10', end: '10.40.3.73' }, claims: steady(27) },
  { namespace: 'edge', name: 'cork', range: { start: '10.40.4.10', end: '10.40.4.57' }, claims: wave(12, 50, 8) },
  { namespace: 'lab', name: 'testbed', range: { subnet: '192.168.50.0/25' }, claims: wave(15, 100, 16 / 3) },
  { namespace: 'lab', name: 'scratch', range: { subnet: '192.168.70.0/26' }, claims: steady(3) },
  { namespace: 'lab', name: 'staging', range: { subnet: '192.168.60.0/24' }, claims: steady(0) },
];

/** Claims that wait for something else than a free address: a pool that is not there, an address that another claim has. */
const WAITING = [
  { namespace: 'lab', name: 'old-0', pool: 'retired' },
  { namespace: 'lab', name: 'old-1', pool: 'retired' },
  { namespace: 'lab', name: 'pinned', pool: 'scratch', annotations: { ipAddress: '192.168.70.1' } },
];

const METAL3 = 'ipam.metal3.io/v1alpha1';
const CAPI = 'ipam.cluster.x-k8s.io/v1beta2';

function poolObject({ namespace, name, range }) {
  const spec = { namePrefix: name, pools: [range] };
  return { apiVersion: METAL3, kind: 'IPPool', metadata: { namespace, name }, spec };
}

/** Every fourth claim is Cluster API's. */
function claimObject({ namespace, name, pool, annotations }, n = 0) {
  const metadata = { namespace, name, annotations };
  if (n % 4 === 3) {
    const spec = { poolRef: { apiGroup: 'ipam.metal3.io', kind: 'IPPool', name: pool } };
    return { apiVersion: CAPI, kind: 'IPAddressClaim', metadata, spec };
  }
  return { apiVersion: METAL3, kind: 'IPClaim', metadata, spec: { pool: { name: pool } } };
}

function folder({ apiVersion, kind, metadata: { namespace } }) {
  return `/apis/${apiVersion}/namespaces/${namespace}/${kind.toLowerCase()}s`;
}

/** Runs tasks, some at a time. */
async function inParallel(tasks, atOnce = 8) {
  const rest = tasks[Symbol.iterator]();
  const worker = async () => {
    for (const task of rest) {
      await task();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** The claims of one pool. */
class Claims {
  constructor(pool) {
    this.pool = pool;
    this.made = 0;
    this.live = [];
  }

  next() {
    const { namespace, name } = this.pool;
    const claim = claimObject({ namespace, name: `${name}-${this.made}`, pool: name }, this.made);
    this.made += 1;
    this.live.push(claim);
    return claim;
  }

  /** What to create and to delete for the number of claims at this time. */
  round(seconds) {
    const { claims, turnover = 0 } = this.pool;
    const wanted = Math.round(claims(seconds));
    const gone = this.live.splice(0, Math.max(turnover, this.live.length - wanted));
    const made = Array.from({ length: Math.max(0, wanted - this.live.length) }, () => this.next());
    return { gone, made };
  }
}

/** A fleet on a server. */
export class Fleet {
  constructor(api) {
    this.api = api;
    this.claims = POOLS.map((pool) => new Claims(pool));
  }

  create(object) {
    return this.api('POST', folder(object), object);
  }

  /** Makes the namespaces, the pools, and the claims of the start. */
  async fill() {
    for (const name of new Set(POOLS.map(({ namespace }) => namespace))) {
      await this.api('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
    await inParallel(POOLS.map((pool) => () => this.create(poolObject(pool))));
    const made = this.claims.flatMap((claims) => claims.round(0).made);
    await inParallel(made.map((claim) => () => this.create(claim)));
    await inParallel(WAITING.map((claim) => () => this.create(claimObject(claim))));
  }

  /** Claims come and go; `review` is asked about each new one. */
  async round(seconds, review) {
    for (const claims of this.claims) {
      const { gone, made } = claims.round(seconds);
      await inParallel(gone.map((claim) => () => this.api('DELETE', `${folder(claim)}/${claim.metadata.name}`)));
      await inParallel(
        made.map((claim) => async () => {
          await review(claim);
          await this.create(claim);
        })
      );
    }
  }
}
