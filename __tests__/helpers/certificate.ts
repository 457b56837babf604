import { execFileSync } from 'node:child_process';

let pem: string | undefined;

/** Key and certificate of the loopback, self-signed. */
export function certificate(): string {
  return (pem ??= execFileSync(
    'openssl',
    (
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout - -out - -days 2 ' +
      '-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1'
    ).split(' '),
    { encoding: 'utf8', stdio: 'pipe' },
  ));
}
