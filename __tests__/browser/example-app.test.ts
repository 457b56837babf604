import {
  NO_ERRORS,
  drawAndTalk,
  drawStroke,
  linesOf,
  openPage,
  paint,
  partOf,
  range,
  readAudit,
  readFingerprint,
  readLog,
  recordDoubledLines,
  say,
  settle,
  stopServer,
  toIndex,
  useExampleApp,
  waitForLine,
} from './helpers/board';

useExampleApp('server.mjs');

test('The example app keeps two boards equal while both draw and chat, also if a stream is cut', async () => {
  const [ada, ben] = await Promise.all([openPage('Ada'), openPage('Ben')]);

  await Promise.all([
    drawAndTalk(ada, 'Ada', range(0, 200)),
    drawAndTalk(ben, 'Ben', range(0, 200)),
  ]);
  await settle([ada, ben], 400, 100);

  const before = await readLog(ada);
  for (const name of ['Ada', 'Ben']) {
    const strokes = range(0, 200);
    expect(partOf(name, before)).toEqual({ people: 1, strokes, chat: linesOf(name, strokes) });
  }
  expect(before.strokes).toHaveLength(400);
  expect(before.chat).toHaveLength(100);
  expect(await readLog(ben)).toEqual(before);
  expect(await paint(ben)).toEqual(await paint(ada));

  const readDoubledLines = await recordDoubledLines(ada);
  await ada.locator('#cut').click();
  await waitForLine(ada, 'cut');
  await drawStroke(ada, 200);
  const during = await ada.evaluate(() => ({
    line: document.body.dataset.line,
    waiting: window.board.waiting,
    strokes: window.board.log.strokes.length,
  }));
  expect(during).toMatchObject({ line: 'cut', strokes: 400 });
  expect(during.waiting).toBeGreaterThan(0);
  await Promise.all([
    drawAndTalk(ada, 'Ada', range(201, 221)),
    drawAndTalk(ben, 'Ben', range(200, 220)),
  ]);

  await waitForLine(ada, 'back');
  await settle([ada, ben], 441, 110);

  const after = await readLog(ada);
  expect(partOf('Ada', after)).toEqual({
    people: 1,
    strokes: range(0, 221),
    chat: [...linesOf('Ada', range(0, 200)), ...linesOf('Ada', range(201, 221))],
  });
  expect(partOf('Ben', after)).toEqual({
    people: 1,
    strokes: range(0, 220),
    chat: linesOf('Ben', range(0, 220)),
  });
  expect(after.strokes).toHaveLength(441);
  expect(after.chat).toHaveLength(110);
  expect(await readLog(ben)).toEqual(after);
  expect(await paint(ben)).toEqual(await paint(ada));
  expect(await readAudit(ada)).toEqual(NO_ERRORS);
  expect(await readAudit(ben)).toEqual(NO_ERRORS);
  expect(await readDoubledLines()).toEqual([]);

  const late = await openPage('Cleo');
  expect(await readFingerprint(late)).toBe(await readFingerprint(ada));
  expect(await paint(late)).toEqual(await paint(ada));
}, 120_000);

test('The example app clears the board for everybody', async () => {
  const [ada, ben] = await Promise.all([openPage('Ada'), openPage('Ben')]);
  await drawStroke(ada, 0);
  await settle([ada, ben], 1, 0);
  expect((await readLog(ben)).strokes.map(toIndex)).toEqual([0]);

  await ben.locator('#clear').click();
  expect((await readLog(ben)).strokes).toHaveLength(1); // the first click asks for confirmation
  await ben.locator('#clear').click();
  await settle([ada, ben], 0, 1);

  expect(await readLog(ada)).toEqual({
    strokes: [],
    chat: [expect.objectContaining({ name: 'Ben', note: 'cleared the board' })],
  });
  await ada.locator('.sheet .empty').waitFor({ state: 'visible' });
}, 60_000);

test('The example app invites a person who is alone, with a QR code if a phone can reach it', async () => {
  const page = await openPage('Ada');
  const invitation = page.getByRole('link', { name: 'Open a second window' });
  const code = page.getByRole('img', { name: 'QR code of' });
  await invitation.waitFor();
  expect(await code.count()).toBe(0); // the page is at 127.0.0.1
  const { port } = new URL(page.url());
  await page.goto(`http://board.localhost:${port}/`); // Chromium resolves it to this machine
  await page.getByRole('img', { name: `QR code of http://board.localhost:${port}/` }).waitFor();
  await openPage('Ben');
  await invitation.waitFor({ state: 'hidden' });
  await code.waitFor({ state: 'hidden' });
}, 60_000);

test('The example app shows names and messages as text, not as markup', async () => {
  const markup = '<img src=x onerror=alert(1)>';
  const [ada, ben] = await Promise.all([openPage('<b>Ada</b>'), openPage('Ben')]);
  await say(ada, markup);
  await settle([ada, ben], 0, 1);

  expect(await ben.locator('#lines li > span').allTextContents()).toEqual([markup]);
  expect(await ben.locator('#people li').allTextContents()).toContain('<b>Ada</b>');
  expect(await ben.locator('#people b, #lines img').count()).toBe(0);
}, 60_000);

test('The example app fits a phone, and its chat works with the keyboard only', async () => {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
  const [ada, ben] = await Promise.all([openPage('Ada', phone), openPage('Ben')]);
  const measure = () =>
    ada.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      visible: window.visualViewport?.width,
    }));
  expect(await measure()).toEqual({ width: 360, visible: 360 });

  await ada.locator('#sheet').tap({ position: { x: 90, y: 60 } });
  await settle([ada, ben], 1, 0);
  expect((await readLog(ben)).strokes).toHaveLength(1);

  await ada.locator('#sheet').blur();
  await ada.keyboard.press('Tab');
  for (let tabs = 0; tabs < 30; tabs++) {
    if (await ada.locator('[data-show=chat]:focus').count()) break;
    await ada.keyboard.press('Tab');
  }
  await ada.keyboard.press('Enter');
  await ada.locator('#say').waitFor({ state: 'visible' });
  for (let tabs = 0; tabs < 30; tabs++) {
    if (await ada.locator('#say:focus').count()) break;
    await ada.keyboard.press('Tab');
  }
  await ada.keyboard.type('Hello from the keys');
  await ada.keyboard.press('Enter');
  await settle([ada, ben], 1, 1);

  expect((await readLog(ben)).chat.map(({ text }) => text)).toEqual(['Hello from the keys']);
  await ada.getByRole('log').getByText('Hello from the keys').waitFor({ state: 'visible' });
  expect(await measure()).toEqual({ width: 360, visible: 360 });
}, 60_000);

test.each([
  ['a desktop', 1280, 800],
  ['a phone', 390, 844],
  ['a phone in landscape', 844, 390],
  ['a small phone in landscape', 568, 320],
])(
  'The example app shows the texts about the connection completely on %s',
  async (_screen, width, height) => {
    const page = await openPage('Ada', { viewport: { width, height } });
    await page.locator('#state-hint').getByText('Messages flow both ways').waitFor();

    const cut = await page.locator('.wire :is(strong, dt, dd, button, #state-hint)').evaluateAll(
      // A text that is wider than its element overflows it, or is shortened.
      (elements) =>
        elements
          .filter((element) => element.checkVisibility())
          .filter(
            ({ scrollWidth, clientWidth, scrollHeight, clientHeight }) =>
              scrollWidth > clientWidth || scrollHeight > clientHeight,
          )
          .map(({ textContent }) => textContent),
    );

    expect(cut).toEqual([]);
  },
  60_000,
);

test('The example app keeps the person, and shows who wrote what, after a reload', async () => {
  const [ada, ben] = await Promise.all([openPage('Ada'), openPage('Ben')]);
  await drawAndTalk(ada, 'Ada', range(0, 4));
  await settle([ada, ben], 4, 1);
  await ada.reload();
  await ada.waitForFunction(() => document.querySelector('#people li')?.textContent === 'Adayou');
  await drawAndTalk(ada, 'Ada', range(4, 8));
  await settle([ada, ben], 8, 2);

  const log = await readLog(ben);
  expect(partOf('Ada', log)).toEqual({
    people: 1,
    strokes: range(0, 8),
    chat: linesOf('Ada', range(0, 8)),
  });
  expect(await readAudit(ben)).toEqual(NO_ERRORS);
  await ben.waitForFunction(() => document.querySelectorAll('#people li').length === 2);
}, 60_000);

test('The example app exits with 0 on SIGTERM while pages are connected', async () => {
  await Promise.all([openPage('Ada'), openPage('Ben')]);
  expect(await stopServer()).toBe(0);
}, 60_000);
