import { setTimeout as sleep } from 'node:timers/promises';
import type { Envelope } from '../protocol/wire';
import { explainFailure, explainResponse, parseObject } from './explain';
import { ExitCode } from './io';
import type { CommandIo } from './io';
import { Prober } from './probe';
import type { OpenStream, PlainResponse } from './probe';

/** How a finding affects the use of the channel. */
export type Severity = 'ok' | 'note' | 'warning' | 'failure';

/** One result of the doctor. */
export interface Finding {
  /** What was examined: a stable name, for programs. */
  check:
    'reachable' | 'server' | 'stream' | 'post' | 'binary' | 'connections' | 'idle' | 'transport';
  severity: Severity;
  text: string;
  /** What to do; undefined if nothing. */
  remedy?: string;
}

/** Options of {@link examine}. */
export interface DoctorOptions {
  headers: Record<string, string>;
  /** Seconds for which the stream is watched while nothing is sent. */
  idle: number;
}

/** Milliseconds that a client waits for the first event of a stream before it tries a poll. */
const FIRST_EVENT_TIMEOUT = 3_000;
const REQUEST_TIMEOUT = 10_000;
/** Heartbeat intervals within which the first heartbeat must arrive. With the defaults, that is less than `idle`. */
const HEARTBEAT_TOLERANCE = 1.2;
/** Number of POSTs. Each has a connection of its own, so that a proxy may send them to different servers. */
const POSTS = 4;

const IS_SSE_DUPLEX: Finding = {
  check: 'server',
  severity: 'ok',
  text: 'The server runs sse-duplex.',
};

/** Examines the path to a server, prints what it has found, and resolves with the exit code. */
export async function examine(
  url: string,
  options: DoctorOptions,
  asJson: boolean,
  { stdout, stderr, signal }: Pick<CommandIo, 'stdout' | 'stderr' | 'signal'>,
): Promise<number> {
  const findings: Finding[] = [];
  const report = (finding: Finding) => {
    findings.push(finding);
    if (!asJson) stdout.write(format(finding));
  };
  const announceWatch = () => {
    if (!asJson && options.idle > 0) {
      stderr.write(`Watching the idle stream for ${options.idle} s.\n`);
    }
  };
  await runChecks(new URL(url), options, report, announceWatch, signal);
  if (asJson) stdout.write(`${JSON.stringify(findings)}\n`);
  const hasFailed = findings.some(({ severity }) => severity === 'failure');
  return hasFailed ? ExitCode.failed : ExitCode.ok;
}

function format({ severity, text, remedy }: Finding): string {
  return `${severity.padEnd(9)}${text}\n${remedy === undefined ? '' : `${' '.repeat(9)}${remedy}\n`}`;
}

async function runChecks(
  url: URL,
  { headers, idle }: DoctorOptions,
  report: (finding: Finding) => void,
  announceWatch: () => void,
  signal: AbortSignal,
): Promise<void> {
  const prober = new Prober(url, headers);
  const id = `doctor-${crypto.randomUUID()}`;
  try {
    const outcome = await prober.get(id, false, FIRST_EVENT_TIMEOUT);
    if (outcome.type === 'response') return report(explainResponse(outcome.response));
    if (outcome.type === 'foreign-stream') return report(foreignStream(outcome.event));
    if (outcome.type === 'silent') return await checkPoll(prober, `${id}-poll`, report);
    const { stream } = outcome;
    report(IS_SSE_DUPLEX);
    reportStream(stream, report);
    const envelope = emptyEnvelope(stream);
    if (!(await checkPosts(prober, id, envelope, report))) return stream.abort();
    reportBinary(stream, report);
    await reportConnections(prober, url, report);
    // A server ends a stream whose client sends nothing for too long.
    const keepAlive = setInterval(() => {
      prober.post(id, envelope, REQUEST_TIMEOUT).catch(() => {});
    }, stream.hello.ackAfter.idle);
    announceWatch();
    await watch(stream, idle, report, signal);
    clearInterval(keepAlive);
    await close(prober, id, envelope);
    stream.abort();
    report(transport('stream'));
  } catch (error) {
    report(explainFailure(error, url));
  }
}

function foreignStream(event: string): Finding {
  return {
    check: 'server',
    severity: 'failure',
    text: `The response is an event stream, but not one of sse-duplex (its first event: ${event}).`,
    remedy:
      'Check the path. For a server of package:sse (Dart), use DartSseClient of sse-duplex/dart.',
  };
}

/** No event of the stream has arrived. A poll is a complete response, which every proxy forwards. */
async function checkPoll(
  prober: Prober,
  id: string,
  report: (finding: Finding) => void,
): Promise<void> {
  const outcome = await prober.get(id, true, REQUEST_TIMEOUT);
  if (outcome.type === 'response') return report(explainResponse(outcome.response));
  if (outcome.type !== 'stream') {
    return report({
      check: 'stream',
      severity: 'failure',
      text: `The request was accepted, but there was no response within ${REQUEST_TIMEOUT / 1000} s.`,
      remedy: 'The server is blocked, or a proxy waits for a server that does not answer.',
    });
  }
  const envelope = emptyEnvelope(outcome.stream);
  report(IS_SSE_DUPLEX);
  report({
    check: 'stream',
    severity: 'warning',
    text: 'A proxy holds responses back until they are complete.',
    remedy:
      'Messages arrive by long polling, which costs more requests. To stream, turn the buffering of the ' +
      'proxy off for this path: see "Requirements for a proxy" in docs/deployment.md.',
  });
  if (!(await checkPosts(prober, id, envelope, report))) return;
  reportBinary(outcome.stream, report);
  await close(prober, id, envelope);
  report(transport('poll'));
}

function reportStream({ headers, openedAfter }: OpenStream, report: (finding: Finding) => void) {
  const time = `${Math.round(openedAfter)} ms`;
  report({ check: 'stream', severity: 'ok', text: `The first event arrived after ${time}.` });
  const encoding = headers['content-encoding'];
  if (encoding === undefined) return;
  report({
    check: 'stream',
    severity: 'warning',
    text: `The stream is compressed (${encoding}), so that messages may be late.`,
    remedy: 'Exclude this path from the compression of your application or proxy.',
  });
}

/** Returns the body of a POST without messages, which the application does not notice. */
function emptyEnvelope({ hello }: OpenStream): Envelope {
  return { token: hello.token, id: 0, ack: 0, messages: [] };
}

/** Returns whether the POSTs were accepted. */
async function checkPosts(
  prober: Prober,
  id: string,
  envelope: Envelope,
  report: (finding: Finding) => void,
): Promise<boolean> {
  const startedAt = performance.now();
  const first = await prober.post(id, envelope, REQUEST_TIMEOUT);
  const time = Math.round(performance.now() - startedAt);
  const more = Array.from({ length: POSTS - 1 }, () => prober.post(id, envelope, REQUEST_TIMEOUT));
  const rejected = [first, ...(await Promise.all(more))].find((response) => !isAccepted(response));
  report(
    rejected
      ? explainPost(rejected)
      : { check: 'post', severity: 'ok', text: `A POST was answered after ${time} ms.` },
  );
  return !rejected;
}

/** Whether a response to a POST comes from the server. A page of a proxy has the status 200 as well. */
function isAccepted({ status, body }: PlainResponse): boolean {
  return status === 200 && parseObject(body)?.received !== undefined;
}

function explainPost(response: PlainResponse): Finding {
  if (response.status === 404 && response.body.includes('"unknown-session"')) {
    return {
      check: 'post',
      severity: 'failure',
      text: 'A POST reached a server that does not know the session of the stream.',
      remedy:
        'Several processes run behind this address. Use the option "cluster" (docs/cluster.md), or sticky ' +
        'routing (docs/deployment.md).',
    };
  }
  return { ...explainResponse(response), check: 'post' };
}

function reportBinary({ hello }: OpenStream, report: (finding: Finding) => void): void {
  report(
    hello.binary
      ? { check: 'binary', severity: 'ok', text: 'Binary messages are accepted.' }
      : {
          check: 'binary',
          severity: 'note',
          text: 'Binary messages are not accepted.',
          remedy: 'Update sse-duplex on the server if you need them.',
        },
  );
}

async function reportConnections(
  prober: Prober,
  url: URL,
  report: (finding: Finding) => void,
): Promise<void> {
  if (await prober.offersHttp2()) {
    report({ check: 'connections', severity: 'ok', text: 'Browsers use HTTP/2.' });
    return;
  }
  report({
    check: 'connections',
    severity: 'note',
    text: `Browsers use HTTP/1.1, with at most six connections to ${url.host}.`,
    remedy: 'If your users open many tabs, serve HTTP/2 (over HTTPS).',
  });
}

/** Watches the stream while nothing is sent but heartbeats. */
async function watch(
  stream: OpenStream,
  idle: number,
  report: (finding: Finding) => void,
  signal: AbortSignal,
): Promise<void> {
  const { heartbeat } = stream.hello;
  const startedAt = performance.now();
  let events = 0;
  const over = new AbortController();
  const time = AbortSignal.any([signal, over.signal]);
  const isCut = await Promise.race([
    stream.whenEnded(() => events++).then(() => true),
    sleep(idle * 1000, false, { signal: time }).catch(() => false), // interrupted
  ]);
  over.abort();
  const passed = performance.now() - startedAt;
  const seconds = (passed / 1000).toFixed(1);
  if (isCut) {
    return report({
      check: 'idle',
      severity: 'warning',
      text: `The stream was cut after ${seconds} s. The client reconnects each time, and loses no message.`,
      remedy:
        `A timeout on the way is shorter than the heartbeat interval (${heartbeat} ms): raise the timeout, ` +
        "or set the server's heartbeatInterval to less.",
    });
  }
  if (events === 0 && passed > heartbeat * HEARTBEAT_TOLERANCE) {
    return report({
      check: 'idle',
      severity: 'warning',
      text: `No heartbeat arrived in ${seconds} s, although one is sent every ${heartbeat} ms.`,
      remedy:
        'A proxy holds back what follows the first event: turn its buffering off for this path.',
    });
  }
  const heard = events === 0 ? '' : ', and heartbeats arrived';
  report({
    check: 'idle',
    severity: 'ok',
    text: `The stream stayed open for ${seconds} s${heard}.`,
  });
}

async function close(prober: Prober, id: string, envelope: Envelope): Promise<void> {
  const end = { code: 1000, reason: 'examined' };
  await prober.post(id, { ...envelope, close: end }, REQUEST_TIMEOUT);
}

function transport(name: 'stream' | 'poll'): Finding {
  const how = name === 'stream' ? 'stream messages' : 'poll';
  return { check: 'transport', severity: 'ok', text: `Clients will ${how} (transport "${name}").` };
}
