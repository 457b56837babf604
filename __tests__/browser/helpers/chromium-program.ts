import { requireProgram } from '../../helpers/programs';

/**
 * Returns the path of Chromium.
 *
 * @throws Error that names the Debian package to install.
 */
export function requireChromium(): string {
  return requireProgram('/usr/bin/chromium', 'chromium');
}

/** Root can run Chromium only without its sandbox. The other flags avoid network access and dialogs. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
