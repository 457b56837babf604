import { eventsOf, messagesOf, next } from '../helpers/client';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { onTestFinished } from '../helpers/on-test-finished';
import { URL_, message, ping, start } from '../helpers/scripted-client';
import type { PendingRequest } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

const isPoll = ({ url }: PendingRequest) => url.searchParams.get('ssePoll') === '1';

/** Answers a GET with a whole poll. */
function answerPoll(request: PendingRequest, fields: object, events: string): void {
  const stream = request.hello(fields);
  stream.write(events);
  stream.end();
}

/** Fields of the `hello` that resumes a session after `sent` messages of the server. */
const resumed = (sent: number) => ({ resumed: true, sent });

/** Records the types of a client's events, in order. */
function typesOf(client: ReturnType<typeof start>['client']): string[] {
  const types: string[] = [];
  for (const type of ['open', 'message', 'error', 'disconnect', 'reconnect', 'close'] as const) {
    client.addEventListener(type, () => types.push(type));
  }
  return types;
}

describe('SseClient with the transport "poll"', () => {
  it('sends the next poll as soon as one is complete, and stays connected in between', async () => {
    const { client, next: request } = start({ transport: 'poll' });
    const types = typesOf(client);
    const first = await request('GET');
    expect([isPoll(first), client.transport]).toEqual([true, 'poll']);
    answerPoll(first, {}, ping(0, 0));
    const second = await request('GET');
    expect([isPoll(second), second.headers['last-event-id']]).toEqual([true, 'TOKEN.0']);
    answerPoll(second, resumed(0), message('a') + message('b'));
    const third = await request('GET');
    expect(third.headers['last-event-id']).toBe('TOKEN.2');
    expect(types).toEqual(['open', 'message', 'message']);
  });

  it('reports a poll that is cut as "disconnect", and the next one as "reconnect"', async () => {
    const { client, next: request } = start({ transport: 'poll' });
    const types = typesOf(client);
    answerPoll(await request('GET'), {}, ping(0, 0));
    const stream = (await request('GET')).hello(resumed(0));
    stream.write(message('a'));
    await next(client, 'message');
    stream.fail();
    answerPoll(await request('GET'), resumed(1), message('b'));
    await request('GET');
    expect(types).toEqual(['open', 'message', 'disconnect', 'reconnect', 'message']);
  });

  it('waits before it repeats a poll that has ended after hello', async () => {
    const backoff = jest.fn(() => 0);
    const { client, next: request } = start({ transport: 'poll', backoff });
    answerPoll(await request('GET'), {}, ping(0, 0));
    const disconnects = eventsOf(client, 'disconnect');
    answerPoll(await request('GET'), resumed(0), '');
    await request('GET');
    expect(backoff).toHaveBeenCalledTimes(1);
    expect(disconnects).toMatchObject([{ reason: 'response ended' }]);
  });

  it('waits before it repeats a poll that was answered at once with nothing but a ping', async () => {
    const backoff = jest.fn(() => 0);
    const { client, next: request } = start({ transport: 'poll', backoff });
    answerPoll(await request('GET'), {}, ping(0, 0));
    answerPoll(await request('GET'), resumed(0), ping(0, 0)); // from a cache, say
    answerPoll(await request('GET'), resumed(0), ping(0, 0));
    answerPoll(await request('GET'), resumed(0), message('a'));
    await request('GET');
    expect(backoff.mock.calls).toEqual([[0], [1]]);
    expect(client.readyState).toBe(1);
  });

  it('does not wait after a ping that has come after more than a second', async () => {
    useFakeTimeouts('performance');
    const backoff = jest.fn(() => 0);
    const { next: request } = start({ transport: 'poll', backoff });
    answerPoll(await request('GET'), { heartbeat: 15_000 }, ping(0, 0));
    const second = await request('GET');
    jest.advanceTimersByTime(1_000);
    answerPoll(second, { ...resumed(0), heartbeat: 15_000 }, ping(0, 0));
    await request('GET');
    expect(backoff).not.toHaveBeenCalled();
  });

  it('restarts its back-off after a complete poll', async () => {
    const backoff = jest.fn(() => 0);
    const { next: request } = start({ transport: 'poll', backoff });
    for (let i = 0; i < 3; i++) (await request('GET')).fail();
    answerPoll(await request('GET'), {}, ping(0, 0));
    (await request('GET')).fail();
    await request('GET');
    expect(backoff.mock.calls).toEqual([[0], [1], [2], [0]]);
  });

  it('waits for a response for 2.5 heartbeat intervals, once it knows the interval', async () => {
    const { client, next: request } = start({ transport: 'poll' });
    answerPoll(await request('GET'), { heartbeat: 10_000 }, ping(0, 0));
    await next(client, 'open');
    useFakeTimeouts();
    // The timer of the second poll was set before the timers were fake, that of the third is not.
    answerPoll(await request('GET'), { ...resumed(0), heartbeat: 10_000 }, message('a'));
    const third = await request('GET');
    jest.advanceTimersByTime(24_999);
    expect(third.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(third.isAborted()).toBe(true);
  });

  it('sends no poll while the application does not read its stream', async () => {
    const { client, next: request, waiting } = start({ transport: 'poll' });
    const reader = client.stream.getReader();
    answerPoll(await request('GET'), {}, message('a') + message('b'));
    await next(client, 'open');
    for (let i = 0; i < 10; i++) await turn();
    expect(waiting()).toBe(0);
    expect(await reader.read()).toMatchObject({ value: 'a' });
    expect(await reader.read()).toMatchObject({ value: 'b' });
    void reader.read();
    expect(isPoll(await request('GET'))).toBe(true);
  });
});

describe('SseClient with the transport "stream"', () => {
  it('never polls', async () => {
    useFakeTimeouts();
    const { client, next: request } = start({ transport: 'stream', backoff: () => 0 });
    for (let attempt = 0; attempt < 3; attempt++) {
      const get = await request('GET');
      expect(isPoll(get)).toBe(false);
      const failed = next(client, 'error');
      jest.advanceTimersByTime(10_000);
      await failed;
      await turn();
      jest.advanceTimersByTime(0);
    }
  });
});

describe('SseClient with the transport "auto"', () => {
  /** Waits for a GET, and lets it pass 3 s without an answer. */
  async function ignore(request: () => Promise<PendingRequest>): Promise<void> {
    const get = await request();
    jest.advanceTimersByTime(2_999);
    expect(get.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
  }

  function startAuto() {
    const all = start({ backoff: () => 0 });
    return { ...all, types: typesOf(all.client), get: () => all.next('GET') };
  }

  it('polls when a stream has no event within 3 s and a poll is answered, and dispatches one error', async () => {
    useFakeTimeouts();
    const { client, types, get } = startAuto();
    const errors = eventsOf(client, 'error');
    expect(client.transport).toBe('stream');
    await ignore(get);
    const poll = await get();
    expect(isPoll(poll)).toBe(true);
    answerPoll(poll, {}, ping(0, 0));
    answerPoll(await get(), resumed(0), message('a'));
    answerPoll(await get(), resumed(1), message('b'));
    await get();
    expect(client.transport).toBe('poll');
    expect(types).toEqual(['open', 'error', 'message', 'message']);
    expect(errors).toMatchObject([
      { message: 'buffered by a proxy: polling, see docs/deployment.md' },
    ]);
  });

  it('waits up to 10 s for a poll that opens another session, once it has chosen polls', async () => {
    useFakeTimeouts();
    const { client, get } = startAuto();
    await ignore(get);
    answerPoll(await get(), {}, ping(0, 0));
    const lost = next(client, 'sessionlost');
    (await get()).answer(404, { code: 'unknown-session', message: 'unknown' });
    await lost;
    jest.advanceTimersByTime(0);
    const poll = await get();
    expect(isPoll(poll)).toBe(true);
    jest.advanceTimersByTime(9_999);
    expect(poll.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(poll.isAborted()).toBe(true);
  });

  it('streams with a longer timeout when the poll has no response within 3 s either', async () => {
    useFakeTimeouts();
    const { client, types, get } = startAuto();
    await ignore(get);
    const failed = next(client, 'error');
    await ignore(get);
    expect((await failed).message).toMatch(/^no event in 3000 ms/);
    await turn();
    jest.advanceTimersByTime(0);
    const stream = await get();
    expect(isPoll(stream)).toBe(false);
    jest.advanceTimersByTime(9_999);
    expect(stream.isAborted()).toBe(false);
    stream.hello();
    await next(client, 'open');
    expect(types).toEqual(['error', 'open']);
  });

  it('repeats a poll that fails, and polls if the next one is answered', async () => {
    useFakeTimeouts();
    const { client, types, get } = startAuto();
    /** Fails a poll as a cut connection does, and lets the back-off pass. */
    async function losePoll(): Promise<void> {
      const poll = await get();
      expect(isPoll(poll)).toBe(true);
      const failed = next(client, 'error');
      poll.fail();
      await failed;
      await turn();
      jest.advanceTimersByTime(0);
    }
    await ignore(get);
    await losePoll();
    await losePoll();
    answerPoll(await get(), {}, ping(0, 0));
    expect(isPoll(await get())).toBe(true);
    expect(client.transport).toBe('poll');
    expect(types).toEqual(['error', 'error', 'open', 'error']);
  });

  it('streams again after a stream that fails at once', async () => {
    const { types, get } = startAuto();
    (await get()).fail();
    const second = await get();
    expect(isPoll(second)).toBe(false);
    second.hello();
    await waitFor(() => types.includes('open'));
    expect(types).toEqual(['error', 'open']);
  });

  describe('whose streams have worked', () => {
    /** Opens a stream that has an event after `hello`, and cuts it. */
    async function startStreamed() {
      const all = startAuto();
      const stream = (await all.get()).hello();
      stream.write(message('a'));
      await next(all.client, 'message');
      useFakeTimeouts();
      stream.fail();
      await next(all.client, 'disconnect');
      await turn();
      jest.advanceTimersByTime(0);
      return all;
    }

    it('streams again after one poll, because the network may have come back meanwhile', async () => {
      const { client, types, get } = await startStreamed();
      await ignore(get);
      answerPoll(await get(), resumed(1), message('b'));
      const stream = await get();
      expect(isPoll(stream)).toBe(false);
      stream.hello(resumed(2)).write(message('c'));
      await waitFor(() => types.length === 6);
      expect(types).toEqual(['open', 'message', 'disconnect', 'reconnect', 'message', 'message']);
      expect(client.transport).toBe('stream');
    });

    it('polls when a second stream has no event in time', async () => {
      const { client, types, get } = await startStreamed();
      await ignore(get);
      answerPoll(await get(), resumed(1), message('b'));
      await ignore(get);
      answerPoll(await get(), resumed(2), message('c'));
      expect(isPoll(await get())).toBe(true);
      expect(client.transport).toBe('poll');
      expect(types.slice(2)).toEqual(['disconnect', 'reconnect', 'message', 'message', 'error']);
    });
  });

  it('polls when a stream has no event after hello until it is aborted', async () => {
    useFakeTimeouts();
    const { client, types, get } = startAuto();
    (await get()).hello({ heartbeat: 1_000 });
    await next(client, 'open');
    await turn();
    const lost = next(client, 'disconnect');
    jest.advanceTimersByTime(2_500);
    await lost;
    await turn();
    jest.advanceTimersByTime(0);
    const poll = await get();
    expect(isPoll(poll)).toBe(true);
    answerPoll(poll, resumed(0), ping(0, 0));
    expect(isPoll(await get())).toBe(true);
    expect(types).toEqual(['open', 'disconnect', 'reconnect', 'error']);
  });

  describe('on a page', () => {
    function fakeStorage(): Map<string, string> {
      const items = new Map<string, string>();
      const sessionStorage = {
        getItem: (key: string) => items.get(key) ?? null,
        setItem: (key: string, value: string) => items.set(key, value),
      };
      Object.assign(globalThis, { sessionStorage });
      onTestFinished(() => Reflect.deleteProperty(globalThis, 'sessionStorage'));
      return items;
    }

    it('stores for the next page that it has to poll', async () => {
      const items = fakeStorage();
      useFakeTimeouts();
      const { get } = startAuto();
      await ignore(get);
      answerPoll(await get(), {}, ping(0, 0));
      await get();
      expect([...items]).toEqual([[`sse-duplex poll ${URL_}`, '1']]);
    });

    it('polls first if an earlier page had to poll, and polls again after a stream without an event', async () => {
      fakeStorage().set(`sse-duplex poll ${URL_}`, '1');
      useFakeTimeouts();
      const { client, types, get } = startAuto();
      answerPoll(await get(), {}, ping(0, 0));
      await ignore(get);
      const poll = await get();
      expect(isPoll(poll)).toBe(true);
      answerPoll(poll, resumed(0), message('a'));
      await get();
      expect(client.transport).toBe('poll');
      expect(types).toEqual(['open', 'message', 'error']);
    });

    it('works where the storage is forbidden', async () => {
      Object.defineProperty(globalThis, 'sessionStorage', {
        configurable: true,
        get() {
          throw new Error('forbidden');
        },
      });
      onTestFinished(() => Reflect.deleteProperty(globalThis, 'sessionStorage'));
      const { client, get } = startAuto();
      const received = messagesOf(client);
      (await get()).hello().write(message('a'));
      await waitFor(() => received.length > 0);
    });
  });
});
