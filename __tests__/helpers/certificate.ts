import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A private key and its self-signed certificate for `localhost` and 127.0.0.1, valid until 2120.
 * For tests only: the key is public.
 */
export const CERTIFICATE_FILE = join(__dirname, 'certificate.pem');

export const certificate = readFileSync(CERTIFICATE_FILE, 'utf8');
