/** Resolves after so many milliseconds. Does not keep the process alive. */
export function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}

/**
 * Resolves or rejects as `promise` does, or with the result of `onTimeout` after so many milliseconds. Does not keep
 * the process alive.
 */
export async function waitAtMost<Result>(
  milliseconds: number,
  promise: Promise<Result>,
  onTimeout: () => Result,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds).unref();
  }).then(onTimeout);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
