import { dartDialect, duplexDialect } from '../../lib/server/dialect';

describe('the base dialect', () => {
  it('begins with an event of an id only', () => {
    const hello = { token: 'T', sent: 4 } as Parameters<typeof dartDialect.handshake>[0];
    expect(dartDialect.handshake(hello)).toBe('retry: 1000\nid: T.4\n\n');
  });

  it('numbers each message with how many were received then', () => {
    expect(dartDialect.messagePrefix?.('T', 0)).toBe('id: T.1\n');
  });

  it('pings with a comment', () => {
    expect(dartDialect.ping({ sent: 1, received: 2 })).toBe(':\n\n');
  });

  it('closes with a control event that Dart knows', () => {
    expect(dartDialect.close({ code: 4000, reason: 'x' })).toBe('event: control\ndata: close\n\n');
  });

  it.each([
    [0.001, 5],
    [0.5, 2500],
    [0.9999, 5000],
  ])('asks a client back after a random part of the time: %d', (random, retry) => {
    jest.spyOn(Math, 'random').mockReturnValueOnce(random);
    expect(dartDialect.close({ code: 1012, reason: '', retry: 5000 })).toBe(`retry: ${retry}\n\n`);
  });
});

describe('the duplex dialect', () => {
  it('says all in events of JSON', () => {
    expect(duplexDialect.messagePrefix).toBeUndefined();
    expect(duplexDialect.ping({ sent: 1, received: 2 })).toBe(
      'event: ping\ndata: {"sent":1,"received":2}\n\n',
    );
    expect(duplexDialect.close({ code: 4000, reason: 'x' })).toBe(
      'event: close\ndata: {"code":4000,"reason":"x"}\n\n',
    );
  });
});
