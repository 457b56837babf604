import qrcode from './qrcode.mjs';

/** Shows the address of this page as a QR code, if a phone can reach it. */
export function showQrCode(figure) {
  if (/^(localhost|127\.|\[)/.test(location.hostname)) return;
  const address = new URL('./', location.href).href;
  const code = qrcode(0, 'M'); // the smallest version that has room for the address
  code.addData(address);
  code.make();
  const alt = `QR code of ${address}`;
  figure.firstElementChild.innerHTML = code.createSvgTag({ margin: 12, scalable: true, alt });
  figure.hidden = false;
}
