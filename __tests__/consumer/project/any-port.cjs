'use strict';

const { Server } = require('node:net');

/** Makes every server listen on a free port of 127.0.0.1 instead of the given one, and prints the port. */
const { listen } = Server.prototype;
Server.prototype.listen = function listenAnywhere() {
  return listen.call(this, 0, '127.0.0.1', () => console.log(`port ${this.address().port}`));
};
