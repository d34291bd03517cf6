// ImapFlow against the server: compressed, over TLS, with QRESYNC; it hears in IDLE what another does.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { ImapFlow } = createRequire(`${process.env.CLIENTS}/x.js`)('imapflow');
const { IMAP, IMAPS, U, PW } = process.env;
const connect = async (more) => {
  const client = new ImapFlow({
    host: '127.0.0.1', port: +IMAPS, secure: true, auth: { user: U, pass: PW },
    tls: { rejectUnauthorized: false }, logger: false, qresync: true, ...more,
  });
  await client.connect();
  return client;
};
const until = async (what, test) => {
  for (let i = 0; i < 300; i++) {
    if (test()) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.fail(`never: ${what}`);
};

const watcher = await connect({});
const other = await connect({ port: +IMAP, secure: false, disableCompression: true, qresync: false });
assert.ok(watcher.enabled.has('QRESYNC'), 'QRESYNC is enabled');
assert.ok(watcher.capabilities.has('COMPRESS=DEFLATE'));
assert.ok(watcher._deflate || watcher.compress || watcher._inflate, 'the stream is compressed');

const body = (n) => `Subject: mail ${n}\r\nFrom: a@x.test\r\nTo: b@x.test\r\n\r\ntext ${n} ${'ä'.repeat(2000)}\r\n`;
for (let n = 1; n <= 5; n++) {
  const made = await other.append('INBOX', body(n), n % 2 ? ['\\Flagged'] : []);
  assert.equal(made.uid, n);
}
await other.mailboxOpen('INBOX');
await watcher.mailboxOpen('INBOX');
assert.equal(watcher.mailbox.exists, 5);

// What is told while it idles.
const heard = { exists: [], flags: [], expunge: [] };
watcher.on('exists', (e) => heard.exists.push(e.count));
watcher.on('flags', (e) => heard.flags.push(e));
watcher.on('expunge', (e) => heard.expunge.push(e));
const idling = watcher.idle();
await other.append('INBOX', body(6));
await until('exists', () => heard.exists.includes(6));
await other.messageFlagsAdd('2', ['\\Seen', '$Label1'], { uid: true });
await until('flags', () => heard.flags.some((e) => e.uid === 2 && e.flags.has('\\Seen') && e.flags.has('$Label1') && e.modseq));
await other.messageDelete('3', { uid: true });
await until('expunge', () => heard.expunge.some((e) => e.uid === 3 && e.vanished));
assert.equal(watcher.mailbox.exists, 5);
const modseq = watcher.mailbox.highestModseq;
await watcher.noop();
await idling;

// By content, in pieces, by search.
const one = await watcher.fetchOne('4', { uid: true, envelope: true, bodyStructure: true, source: true, flags: true, internalDate: true }, { uid: true });
assert.equal(one.source.toString(), body(4));
assert.equal(one.envelope.subject, 'mail 4');
assert.equal(one.bodyStructure.type, 'text/plain');
const { content } = await watcher.download('4', undefined, { uid: true, chunkSize: 700 });
let all = ''; for await (const piece of content) all += piece.toString('binary');
assert.equal(Buffer.from(all, 'binary').toString(), body(4));
assert.deepEqual(await watcher.search({ header: { subject: 'mail' }, flagged: true }, { uid: true }), [1, 5]);
assert.deepEqual(await watcher.search({ keyword: '$Label1' }, { uid: true }), [2]);

// What changed since: only that.
await other.messageFlagsAdd('5', ['\\Answered'], { uid: true });
const changed = [];
for await (const m of watcher.fetch('1:*', { flags: true }, { uid: true, changedSince: modseq })) changed.push(m.uid);
assert.ok(changed.includes(5) && !changed.includes(1), `${changed}`);

const made = await watcher.mailboxCreate(['Größe', 'Unter']);
assert.equal(made.path, 'Größe/Unter');
const moved = await watcher.messageMove('4:5', 'Größe/Unter', { uid: true });
assert.deepEqual([...moved.uidMap], [[4, 1], [5, 2]]);
const status = await watcher.status('Größe/Unter', { messages: true, unseen: true, highestModseq: true });
assert.equal(status.messages, 2);
const list = await watcher.list({ statusQuery: { messages: true } });
assert.equal(list.find((box) => box.path === 'Größe/Unter').status.messages, 2);
assert.ok(list.some((box) => box.specialUse === '\\Sent'));
await watcher.mailboxRename(['Größe', 'Unter'], ['Größe', 'Über']);
await watcher.mailboxDelete('Größe/Über');
assert.ok(await watcher.getQuota('INBOX') !== undefined);
await watcher.logout();
await other.logout();
console.log('all done');
