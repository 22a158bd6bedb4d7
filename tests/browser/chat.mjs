// Drives the page that `wardroom dev` serves, as two people with a tab each: they connect, join one room and chat.
//
//   node chat.mjs http://127.0.0.1:PORT/ [FOLDER FOR SCREENSHOTS]
//
// CHROMIUM names the browser when it is not /usr/bin/chromium. Exit code 0 when all was as it should be, else 1.

import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, screenshots] = process.argv.slice(2);
const WAIT_MAX = 60_000;
const ROOM = 'bridge';
const HOSTILE = '<img src=x onerror="document.title=\'injected\'"><b>bold</b>';

if (!url) {
  console.error('usage: node chat.mjs URL [FOLDER FOR SCREENSHOTS]');
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
  timeout: 60_000,
});
let step = 'start';
const saw = (text) => console.log(`  ${(step = text)}`);

try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 760 } });
  context.setDefaultTimeout(WAIT_MAX);
  const problems = [];
  const alice = await enter(context, 'Alice', problems);
  const bob = await enter(context, 'Bob', problems);
  await entry(alice, 'system', 'Bob joined').waitFor();
  saw('Alice sees that Bob joined');

  await say(alice, 'Ahoy, Bob');
  await entry(bob, 'other', 'Ahoy, Bob').waitFor();
  saw('Bob sees what Alice said');
  await say(bob, HOSTILE);
  // What Alice gets now comes behind anything she may have got twice, and so it is for Bob below.
  await entry(alice, 'other', HOSTILE).waitFor();
  saw('Alice sees markup as text');
  await say(alice, 'Over');
  await entry(bob, 'other', 'Over').waitFor();

  assert.deepEqual(await said(alice), ['Alice: Ahoy, Bob', `Bob: ${HOSTILE}`, 'Alice: Over']);
  assert.deepEqual(await said(bob), ['Alice: Ahoy, Bob', `Bob: ${HOSTILE}`, 'Alice: Over']);
  saw('both have every message once, in order');
  for (const page of [alice, bob]) {
    assert.equal(await page.locator('#chat-log img, #chat-log b, #frames img, #frames b').count(), 0, 'markup became elements');
    assert.equal(await page.title(), 'wardroom dev', 'a script ran');
  }

  await echo(alice);
  saw('an event sent by hand gets its reply');
  await bob.click('#chat-leave');
  await entry(alice, 'system', 'Someone left').waitFor();
  saw('Alice sees that Bob left');
  await bob.click('#disconnect');
  await bob.locator('#status[data-state=closed]').waitFor();
  saw('Bob is disconnected');

  if (screenshots) await shoot(alice);
  assert.deepEqual(problems, [], 'the page reported problems');
  console.log('browser check: passed');
} catch (error) {
  console.error(`browser check: FAILED after "${step}"\n${error.stack}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

// A tab that is connected and in the room.
async function enter(context, name, problems) {
  const page = await context.newPage();
  page.on('pageerror', (error) => problems.push(`${name}: ${error.message}`));
  page.on('dialog', (dialog) => problems.push(`${name}: a dialog: ${dialog.message()}`));
  await page.goto(url, { timeout: WAIT_MAX });
  await page.click('#connect');
  await page.locator('#status[data-state=open]').waitFor();
  saw(`${name} is connected`);
  await page.fill('#chat-name', name);
  await page.fill('#chat-room', ROOM);
  await page.press('#chat-room', 'Enter');
  await entry(page, 'system', `You joined /chat/${ROOM}`).waitFor();
  saw(`${name} is in the room`);
  return page;
}

// The one entry of the chat with exactly this text. Two of them are an error of playwright's strict mode.
function entry(page, kind, text) {
  return page.locator(`#chat-log li.${kind}`).getByText(text, { exact: true });
}

async function say(page, text) {
  await page.fill('#chat-text', text);
  await page.press('#chat-text', 'Enter');
  await entry(page, 'own', text).waitFor();
}

// What people said, without what the room said.
async function said(page) {
  const entries = await page.locator('#chat-log li:not(.system)').all();
  return Promise.all(entries.map(async (item) =>
    `${await item.locator('.from').textContent()}: ${await item.locator('.text').textContent()}`));
}

async function echo(page) {
  await page.fill('#send-event', 'echo');
  await page.fill('#send-path', '/echo');
  await page.fill('#send-data', '{"depth": 7}');
  await page.press('#send-data', 'Control+Enter');
  await page.locator('#send-result', { hasText: '"depth": 7' }).waitFor();
}

async function shoot(page) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(screenshots, `dev-${colorScheme}.png`) });
  }
  await page.setViewportSize({ width: 390, height: 800 });
  await page.screenshot({ path: join(screenshots, 'dev-narrow.png'), fullPage: true });
}
