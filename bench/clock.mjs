/** Returns the time in milliseconds, on a clock that all processes share. */
export const now = () => performance.timeOrigin + performance.now();
