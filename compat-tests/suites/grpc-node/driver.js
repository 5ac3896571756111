// Runs the compatibility cases with the official gRPC client for Node.js. Standard output carries only the
// conversation with the harness: CASES names, then PASS, FAIL or SKIP for each, CONTROL words when the harness shall
// do something to the server and answer ok, and DONE.
'use strict';

const readline = require('node:readline');
const { cases } = require('./cases.js');
const { Scope } = require('./scope.js');

// Most cases only wait.
const PARALLEL = 8;
// Longest time one case may take: this client waits for ever where others fail.
const CASE_LIMIT_MS = 150_000;

const settings = Object.fromEntries(process.argv.slice(2).map(argument => {
  const at = argument.indexOf('=');
  return [argument.slice(0, at), argument.slice(at + 1)];
}));

const write = process.stdout.write.bind(process.stdout);
const say = line => write(line + '\n');
// Whatever a library prints must not look like a result.
process.stdout.write = process.stderr.write.bind(process.stderr);

const waiting = [];
readline.createInterface({ input: process.stdin }).on('line', answer => waiting.shift()?.(answer));

/** Lets the harness do something to the server and waits until it has; answers come in the order of the questions. */
async function control(words) {
  const answer = await new Promise(resolve => {
    waiting.push(resolve);
    say('CONTROL ' + words);
  });
  if (answer !== 'ok') throw new Error(`the harness answered ${answer} to ${words}`);
}

// Where this client lets an error escape, the case that waits for it fails; the others must go on.
process.on('uncaughtException', error => console.error('uncaught', error));
process.on('unhandledRejection', error => console.error('unhandled', error));

function limited(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${CASE_LIMIT_MS} ms`)), CASE_LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function story(error) {
  const parts = [];
  for (let cause = error; cause && parts.length < 4; cause = cause.cause) parts.push(String(cause.message ?? cause));
  return parts.join(' because ').replace(/\s+/g, ' ').slice(0, 400);
}

async function run({ name, body }) {
  const scope = new Scope(name, settings, control);
  const start = Date.now();
  try {
    await limited(body(scope));
    say('PASS ' + name);
  } catch (error) {
    console.error(name, error);
    say(`FAIL ${name}: ${story(error)}`);
  }
  console.error(`${name} took ${Date.now() - start} ms`);
  // This client waits for its open polls; no other case needs to.
  scope.close();
}

async function main() {
  const only = (settings.only ?? '').split(',').filter(Boolean);
  const chosen = cases.filter(({ name }) => !only.length || only.some(word => name.includes(word)));
  say('CASES ' + chosen.map(({ name }) => name).join(' '));
  const queue = [...chosen];
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    for (let next = queue.shift(); next; next = queue.shift()) await run(next);
  }));
  write('DONE\n', () => process.exit(0));
}

main();
