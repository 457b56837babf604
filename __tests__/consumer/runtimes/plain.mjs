import process from 'node:process';
import { SseClient } from 'sse-duplex/client';
import { exchange } from './exchange.mjs';

console.log(JSON.stringify(await exchange(SseClient, process.argv[2])));
