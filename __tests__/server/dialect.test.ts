import { dartDialect, duplexDialect } from '../../lib/server/dialect';

describe('dartDialect', () => {
  it('begins a stream with an event that has retry, an id and a name, and no message', () => {
    const hello = { token: 'T', sent: 4 } as Parameters<typeof dartDialect.handshake>[0];
    expect(dartDialect.handshake(hello)).toBe('retry: 1000\nid: T.4\nevent: hello\ndata: \n\n');
  });

  it('precedes a message with the id that counts it as received', () => {
    expect(dartDialect.messagePrefix?.('T', 0)).toBe('id: T.1\n');
  });

  it('pings with an empty comment', () => {
    expect(dartDialect.ping({ sent: 1, received: 2 })).toBe(':\n\n');
  });

  it('closes with the control event of package:sse', () => {
    expect(dartDialect.close({ code: 4000, reason: 'x' })).toBe('event: control\ndata: close\n\n');
  });

  it.each([
    [0.001, 5],
    [0.5, 2500],
    [0.9999, 5000],
  ])('lets clients reconnect after a random part of the jitter: %d', (random, retry) => {
    jest.spyOn(Math, 'random').mockReturnValueOnce(random);
    expect(dartDialect.close({ code: 1012, reason: '', retry: 5000 })).toBe(`retry: ${retry}\n\n`);
  });
});

describe('duplexDialect', () => {
  it('encodes ping and close as events with JSON, and messages without a prefix', () => {
    expect(duplexDialect.messagePrefix).toBeUndefined();
    expect(duplexDialect.ping({ sent: 1, received: 2 })).toBe(
      'event: ping\ndata: {"sent":1,"received":2}\n\n',
    );
    expect(duplexDialect.close({ code: 4000, reason: 'x' })).toBe(
      'event: close\ndata: {"code":4000,"reason":"x"}\n\n',
    );
  });

  it('begins a stream with the hello event', () => {
    const hello = { token: 'T' } as Parameters<typeof duplexDialect.handshake>[0];
    expect(duplexDialect.handshake(hello)).toBe(
      'retry: 1000\nevent: hello\ndata: {"token":"T"}\n\n',
    );
  });
});
