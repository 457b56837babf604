import { AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { emitAndWait } from '../../../lib/server/emit';

/** Reports the rejections that nobody handles, in a process without Jest's own handlers. */
process.on('unhandledRejection', (reason) => process.send!((reason as Error).message));
const emitter = new EventEmitter();
const reject = (): unknown => Promise.reject(new Error('from the application'));
emitter.on('message', reject);
void emitAndWait(new AsyncResource('test'), emitter, 'message');
