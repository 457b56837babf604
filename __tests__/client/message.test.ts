import type * as Base64 from '../../lib/client/base64';
import { fromBase64 } from '../../lib/client/base64';
import { decodeIncoming, decodeOutgoing, encodeOutgoing, readBlob } from '../../lib/client/message';
import { onTestFinished } from '../helpers/on-test-finished';

const bytes = Uint8Array.from({ length: 20_000 }, (_, i) => (i * 7) % 256);
const base64 = Buffer.from(bytes).toString('base64');

describe('encodeOutgoing', () => {
  it.each<[string, unknown, string]>([
    ['an ArrayBuffer', bytes.buffer, `"${base64}"`],
    ['a part of one', new DataView(bytes.buffer, 1, 2), `"${Buffer.of(7, 14).toString('base64')}"`],
    ['no bytes', new Uint8Array(), '""'],
  ])('encodes %s as a string of base64', (_, message, json) => {
    const encoded = encodeOutgoing(message);
    expect(encoded).toEqual({ json, isBinary: true, byteLength: json.length });
    const decoded = decodeOutgoing(encoded) as ArrayBuffer;
    expect(`"${Buffer.from(decoded).toString('base64')}"`).toBe(json);
  });

  it('encodes any other value as JSON', () => {
    const encoded = encodeOutgoing({ a: 'é' });
    expect(encoded).toEqual({ json: '{"a":"é"}', isBinary: false, byteLength: 10 });
    expect(decodeOutgoing(encoded)).toEqual({ a: 'é' });
  });

  it('computes the size of a Blob before its bytes are read', async () => {
    const blob = new Blob([bytes.subarray(0, 4)]);
    const encoded = encodeOutgoing(blob);
    expect(encoded).toMatchObject({ json: undefined, byteLength: 10 });
    expect(decodeOutgoing(encoded)).toBe(blob);
    await readBlob(encoded);
    expect(encoded.json).toBe('"AAcOFQ=="');
  });
});

describe('decodeIncoming', () => {
  it.each<[string, unknown]>([
    ['{"a":1}', { a: 1 }],
    ["'a string, as it is", 'a string, as it is'],
    ['{', undefined],
    ['=A', undefined],
    ['=é===', undefined],
  ])('decodes %s', (encoded, message) => {
    expect(decodeIncoming(encoded)).toEqual(message);
  });

  it('decodes bytes as an ArrayBuffer', () => {
    const decoded = decodeIncoming(`=${base64}`);
    expect(Object.prototype.toString.call(decoded)).toBe('[object ArrayBuffer]');
    expect(Buffer.from(decoded as ArrayBuffer).equals(bytes)).toBe(true);
  });
});

describe('The methods of the platform for base64', () => {
  it('are used where they exist', () => {
    const calls: string[] = [];
    const { prototype } = Uint8Array;
    Object.assign(Uint8Array, {
      fromBase64(this: unknown, text: string) {
        calls.push(`fromBase64 of ${this === Uint8Array}`);
        return new Uint8Array(Buffer.from(text, 'base64'));
      },
    });
    Object.assign(prototype, {
      toBase64(this: Uint8Array) {
        calls.push('toBase64');
        return Buffer.from(this).toString('base64');
      },
    });
    onTestFinished(() => {
      Reflect.deleteProperty(Uint8Array, 'fromBase64');
      Reflect.deleteProperty(prototype, 'toBase64');
    });
    let native!: typeof Base64;
    jest.isolateModules(() => {
      native = jest.requireActual<typeof Base64>('../../lib/client/base64');
    });
    expect(native.toBase64(bytes)).toBe(base64);
    expect(Buffer.from(native.fromBase64(base64)!).equals(bytes)).toBe(true);
    expect(calls).toEqual(['toBase64', 'fromBase64 of true']);
  });

  it('are not needed', () => {
    expect(Buffer.from(fromBase64(base64)!).equals(bytes)).toBe(true);
  });
});
