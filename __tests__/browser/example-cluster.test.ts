import {
  NO_ERRORS,
  drawAndTalk,
  linesOf,
  openPage,
  partOf,
  range,
  readAudit,
  readLog,
  recordDoubledLines,
  settle,
  stopServer,
  useExampleApp,
} from './helpers/board';

useExampleApp('cluster.mjs');

test('The example app on three nodes keeps two boards equal while the nodes that serve them are killed', async () => {
  const [ada, ben] = await Promise.all([openPage('Ada'), openPage('Ben')]);
  const readDoubledLines = await recordDoubledLines(ada);
  const names = ['Ada', 'Ben'] as const;
  for (const round of [0, 1]) {
    const strokes = range(round * 40, round * 40 + 40);
    const drawing = [ada, ben].map((page, index) => drawAndTalk(page, names[index]!, strokes));
    const killed = await ada.locator('#kill').textContent();
    // Without a mouse, because the focus must stay where the page writes.
    await ada.evaluate(() => document.querySelector<HTMLElement>('#kill')!.click());
    // Another node serves the page now.
    await ada.waitForFunction(
      (before) => document.querySelector('#kill')?.textContent !== before,
      killed,
    );
    await Promise.all(drawing);
  }
  await settle([ada, ben], 160, 40);

  const log = await readLog(ada);
  for (const name of names) {
    const strokes = range(0, 80);
    expect(partOf(name, log)).toEqual({ people: 1, strokes, chat: linesOf(name, strokes) });
  }
  expect(await readLog(ben)).toEqual(log);
  for (const page of [ada, ben]) {
    expect(await readAudit(page)).toEqual(NO_ERRORS);
    expect(await page.locator('#people li').allTextContents()).toHaveLength(2);
  }
  expect(await readDoubledLines()).toEqual([]);
  expect(await stopServer()).toBe(0);
}, 120_000);

test('A node of the example app ignores the order to kill another node, which the client has repeated', async () => {
  const page = await openPage('Ada');
  const disconnects = await page.evaluate(async () => {
    const client = new window.SseClient<{ type: string }, object>('/sse');
    let count = 0;
    client.ondisconnect = () => count++;
    const receive = (type: string) =>
      new Promise<void>((resolve) => {
        client.onmessage = ({ data }) => data.type === type && resolve();
      });
    await receive('snapshot');
    client.send({ type: 'kill', node: 'the node that was killed' });
    client.send({ type: 'hello', key: '0'.repeat(32), page: '1'.repeat(32), name: 'Ben' });
    await receive('you');
    client.close();
    return count;
  });
  expect(disconnects).toBe(0);
}, 60_000);

test('The example app does not show a line as waiting if the snapshot of another node has it', async () => {
  const page = await openPage('Ada');
  // A string, because TypeScript compiles `import()` to code that does not run in a page.
  const waiting: unknown = await page.evaluate(`(async () => {
    const { Board } = await import('/board.mjs');
    const { SharedBoard } = await import('/shared-board.mjs');
    const client = Object.assign(new EventTarget(), { send() {} });
    const receive = (data) => client.dispatchEvent(new MessageEvent('message', { data }));
    window.SseClient = function () { return client; };
    const on = { change() {}, snapshot() {}, identified() {} };
    const shared = new SharedBoard({ me: { page: 'page' }, on });
    shared.join();
    receive({ type: 'you', id: 'ada', ink: 0, received: 0 });
    shared.commit({ type: 'chat', text: 'in the log' });
    shared.commit({ type: 'chat', text: 'not in the log' });
    const board = new Board();
    board.apply({ seq: 1, type: 'chat', by: 'ada', page: 'an earlier page', n: 2, text: 'old' });
    board.apply({ seq: 2, type: 'chat', by: 'ada', page: 'page', n: 1, text: 'in the log' });
    receive({ type: 'snapshot', board: board.toJSON(), node: 'another node' });
    return shared.pendingEntries('chat').map(({ text }) => text);
  })()`);
  expect(waiting).toEqual(['not in the log']);
}, 60_000);
