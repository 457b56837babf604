import { SseRequestError as Exported } from '../../lib/index';
import { SseRequestError } from '../../lib/server/request-error';

describe('SseRequestError', () => {
  it.each([
    ['bad-request', 400],
    ['forbidden', 403],
    ['unknown-session', 404],
    ['method-not-allowed', 405],
    ['request-timeout', 408],
    ['session-conflict', 409],
    ['out-of-window', 409],
    ['session-closed', 410],
    ['content-too-large', 413],
    ['unsupported-media-type', 415],
    ['service-unavailable', 503],
  ] as const)('with the code %s has status %i', (code, status) => {
    const error = new SseRequestError(code, 'text');
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'SseRequestError', code, status, message: 'text' });
  });

  it('is exported by the package', () => {
    expect(Exported).toBe(SseRequestError);
  });

  it('replaces control characters and line separators in its message', () => {
    const { message } = new SseRequestError('bad-request', 'a\r\nb\u2028c\u2029d\u0000e\u007F');
    expect(message).toBe('a\uFFFD\uFFFDb\uFFFDc\uFFFDd\uFFFDe\uFFFD');
  });

  it('has a cause only if one is given', () => {
    const cause = new Error('from the application');
    expect(new SseRequestError('forbidden', 'no', { cause })).toHaveProperty('cause', cause);
    expect(new SseRequestError('forbidden', 'no')).not.toHaveProperty('cause');
  });

  it('has a response body with its code, its message and the additional members', () => {
    const error = new SseRequestError('content-too-large', 'no', { body: { maxPayload: 1 } });
    expect(error.body).toEqual({ code: 'content-too-large', message: 'no', maxPayload: 1 });
  });

  it('has response headers that prevent content sniffing, and the additional ones', () => {
    const error = new SseRequestError('service-unavailable', 'no', {
      headers: { 'Retry-After': '1' },
    });
    expect(error.headers).toEqual({ 'X-Content-Type-Options': 'nosniff', 'Retry-After': '1' });
  });
});
