'use strict';

const { Server } = require('node:net');

/** Whatever port the program asks for, it gets a free one, on the loopback, and says which. */
const { listen } = Server.prototype;
Server.prototype.listen = function listenAnywhere() {
  return listen.call(this, 0, '127.0.0.1', () => console.log(`port ${this.address().port}`));
};
