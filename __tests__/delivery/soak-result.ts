/** A requirement, whether it is met, and what was measured. */
export type Result = [what: string, isMet: boolean, measured: unknown];
