/** Returns arguments of Node.js that shift the wall clock of a process. Monotonic clocks and timers are not affected. */
export function shiftClock(milliseconds: number): string[] {
  const code = `
    const RealDate = Date;
    globalThis.Date = class Date extends RealDate {
      constructor(...values) {
        if (values.length === 0) super(RealDate.now() + ${milliseconds});
        else super(...values);
      }
      static now() {
        return RealDate.now() + ${milliseconds};
      }
    };`;
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
}
