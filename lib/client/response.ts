/** Whether a refused request may be repeated as it is. */
export function isPassing({ status }: Response): boolean {
  return status >= 500 || [408, 409, 429].includes(status);
}

/** Milliseconds; 0 where the server does not say. */
export function retryAfter({ headers }: Response): number {
  return Number(headers.get('Retry-After')) * 1000 || 0;
}
