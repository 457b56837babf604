import { requireProgram } from '../../helpers/programs';

/** @throws Error that says what to install. */
export function requireChromium(): string {
  return requireProgram('/usr/bin/chromium', 'chromium');
}

/** Without a sandbox, for root; and nothing that goes out. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
